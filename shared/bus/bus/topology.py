"""Topology: the names of exchange, streams, queues and routing keys, each decided here and only here."""

from schema.ids import InstanceName
from schema.records import Record

EXCHANGE = "xenops"
"""The topic exchange that every record is published to."""

NO_VM = "_"
"""The routing word of a record that belongs to no VM; no VM may be called so."""


def log_stream(instance: InstanceName) -> str:
    """The stream that is an instance's log."""
    return f"xenops.log.{instance}"


def door_queue(instance: InstanceName) -> str:
    """The queue that clients send JSON-RPC to: the instance's own name, as xapi knows it."""
    return instance


def control_queue(instance: InstanceName) -> str:
    """The queue of reads and metadata, served by the instance's workers."""
    return f"xenops.control.{instance}"


def events_queue(instance: InstanceName) -> str:
    """The queue of TASK.* and UPDATES.*, served by eventhubs."""
    return f"xenops.events.{instance}"


def leader_queue(instance: InstanceName) -> str:
    """The exclusive queue whose holder is the leading redirector."""
    return f"xenops.leader.{instance}"


def routing_word(name: str) -> str:
    """A name as one word of a routing key: dots would divide it."""
    return name.replace("%", "%25").replace(".", "%2E")


def routing_key(instance: InstanceName, record: Record) -> str:
    """Where a record is published to: `<instance>.<vm>.<kind>`, each one word."""
    vm = getattr(record, "vm", None)
    return f"{routing_word(instance)}.{routing_word(vm) if vm else NO_VM}.{record.kind}"
