"""Topology: the names of exchange, streams, queues and routing keys, each decided here and only here."""

from schema.ids import InstanceName
from schema.records import Record

EXCHANGE = "xenops"
"""The topic exchange that every record is published to."""

INBOX = "xenops.inbox."
"""How the queues begin where one process alone is told something."""

DIRECT_REPLIES = "amq.rabbitmq.reply-to"
"""How RabbitMQ calls its queue that is none: an answer sent to it goes straight to the channel that asked."""

NO_VM = "_"
"""The routing word of a record that belongs to no VM; no VM may be called so."""


def log_stream(instance: InstanceName) -> str:
    """The stream that is an instance's log."""
    return f"xenops.log.{instance}"


def observers_log(instance: InstanceName) -> InstanceName:
    """The log of an instance's observers: a few records, for those who cannot afford to read all of them.

    Told from an instance by a mark that no instance's name has.
    """
    return InstanceName(f"{instance}:observers")


def snapshots_of(instance: InstanceName) -> InstanceName:
    """The first word of the routing keys of an instance's snapshots; told from an instance by its mark."""
    return InstanceName(f"{instance}:snapshots")


def snapshot_stream(instance: InstanceName, service: str) -> str:
    """The stream that keeps a service's last snapshots."""
    return f"xenops.snapshot.{instance}.{service}"


def snapshot_key(instance: InstanceName, service: str) -> str:
    """Where a service's snapshots are published to: the last word says which role may write them.

    `service` is the role, and, where each process of a role has its own, a dot and its name.
    """
    role = service.partition(".")[0]
    return f"{routing_word(snapshots_of(instance))}.{routing_word(service)}.{role.capitalize()}Snapshot"


def door_queue(instance: InstanceName) -> str:
    """The queue that clients send JSON-RPC to: the instance's own name, as xapi knows it."""
    return instance


def control_queue(instance: InstanceName) -> str:
    """The queue of reads and metadata, served by the instance's workers."""
    return f"xenops.control.{instance}"


def events_queue(instance: InstanceName) -> str:
    """The queue of TASK.* and UPDATES.*, served by eventhubs."""
    return f"xenops.events.{instance}"


def storage_queue(instance: InstanceName) -> str:
    """The queue of the storage service of an instance's host, where a frontend passes it on to its switch."""
    return f"xenops.storage.{instance}"


def lanes_queue(instance: InstanceName) -> str:
    """The queue of LANE.* and WORKER.*, served by redirectors; whoever does not lead passes them on."""
    return f"xenops.lanes.{instance}"


def leader_queue(instance: InstanceName) -> str:
    """The exclusive queue whose holder is the leading redirector."""
    return f"xenops.leader.{instance}"


def inbox_queue(token: str) -> str:
    """A queue of one process, where others tell it what it waits for; `token` is in no other's."""
    return f"{INBOX}{token}"


def routing_word(name: str) -> str:
    """A name as one word of a routing key: dots would divide it."""
    return name.replace("%", "%25").replace(".", "%2E")


def routing_key(instance: InstanceName, record: Record) -> str:
    """Where a record is published to: `<instance>.<vm>.<kind>`, each one word."""
    vm = getattr(record, "vm", None)
    return f"{routing_word(instance)}.{routing_word(vm) if vm else NO_VM}.{record.kind}"
