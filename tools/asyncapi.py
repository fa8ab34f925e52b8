"""AsyncAPI: every exchange, queue, stream, record and request as one AsyncAPI 3 document: docs/asyncapi.json.

Names come from `bus.topology`, who writes what from `bus.roles`, messages from the schema.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import schemas
from bus.roles import WRITERS, Role
from bus.topology import (
    EXCHANGE,
    control_queue,
    door_queue,
    events_queue,
    inbox_queue,
    lanes_queue,
    leader_queue,
    log_stream,
    observers_log,
    snapshot_stream,
    storage_queue,
)
from frontend.routes import Control, Events, Lanes, Queued, route
from schema.ids import InstanceName
from schema.own_methods import ALL_METHODS

PATH = schemas.ROOT / "docs" / "asyncapi.json"
VERSION = "3.0.0"
_BINDING = "0.3.0"
INSTANCE = InstanceName("{instance}")
OBSERVERS = ("ObserverCreated", "ObserverChanged", "ObserverDestroyed", "TracingSet")
WIRE, LOG, NOTICE = "wire.", "log.", "notice."
SCHEMAS = "#/components/schemas/"
Part = dict[str, Any]

STREAM: Part = {"durable": True, "exclusive": False, "autoDelete": False, "x-type": "stream"}
SHARED: Part = {"durable": False, "exclusive": False, "autoDelete": True, "x-type": "classic"}
LEADERS: Part = {"durable": False, "exclusive": True, "autoDelete": False, "x-type": "classic"}
INBOX: Part = {"durable": False, "exclusive": True, "autoDelete": True, "x-type": "classic"}
"""How queues are made; a shared one is durable where RabbitMQ wants that, from 4.3 on."""

_PARAMETERS: dict[str, Part] = {
    "instance": {"description": "one backend on one host, such as org.xen.xapi.xenops.qemu"},
    "service": {"description": "the role whose snapshots these are, and its name where each has its own"},
    "vm": {"description": "the VM's id as one word (a dot is %2E), or _ for records of no VM"},
    "kind": {"description": "the record's kind"},
    "id": {"description": "fresh for each process"},
}


def document() -> Part:
    """All of it."""
    objects = schemas.Objects(f"{SCHEMAS}{WIRE}")
    messages = schemas.all_messages(objects)
    wire = {**objects.known, **messages}
    log, notices = schemas.records(f"{SCHEMAS}{LOG}"), schemas.notices(f"{SCHEMAS}{NOTICE}")
    known = {
        **{f"{WIRE}{name}": part for name, part in wire.items()},
        **{f"{LOG}{name}": part for name, part in log.items()},
        **{f"{NOTICE}{name}": part for name, part in notices.items()},
    }
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Xenops on a message bus",
            "version": "1",
            "description": "What goes over RabbitMQ. A log's records travel in an Envelope each.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "localhost:5672", "protocol": "amqp", "protocolVersion": "0.9.1"}},
        "channels": channels(),
        "operations": operations(),
        "components": {"messages": _messages(messages, notices), "schemas": _as_asyncapi(known)},
    }


def channels() -> dict[str, Part]:
    """Every place that something is sent to, by a name for this document."""
    answers = _references(f"{name}.answer" for name in ALL_METHODS)
    reply = {"description": "The request's reply_to, with its correlation_id", "messages": answers}
    return {**_streams(), **_queues(), "reply": {"address": None, **reply}}


def _streams() -> dict[str, Part]:
    """Where records go: the exchange, and the streams that are bound to it."""
    topic = {"is": "routingKey", "exchange": {"name": EXCHANGE, "type": "topic", "durable": True}}
    kinds = [f"record.{kind}" for kind in WRITERS]
    observers = [f"record.{kind}" for kind in OBSERVERS]
    logs = [kind for kind in kinds if kind not in observers]
    about_observers = log_stream(observers_log(INSTANCE))
    snapshots = snapshot_stream(INSTANCE, "{service}")
    exchange = _channel("{instance}.{vm}.{kind}", "Every record; bind a queue to watch", kinds)
    found = {
        "log": _channel(log_stream(INSTANCE), "An instance's log, a stream", logs),
        "observersLog": _channel(about_observers, "The log of an instance's observers, a stream", observers),
        "snapshots": _channel(snapshots, "A service's last snapshots, a stream; in its own form", []),
    }
    streams = {name: _made(part, STREAM) for name, part in found.items()}
    return {"exchange": {**exchange, "bindings": {"amqp": {**topic, "bindingVersion": _BINDING}}}, **streams}


def _queues() -> dict[str, Part]:
    """Where requests and notices go."""
    requests = [f"{name}.request" for name in ALL_METHODS]
    leads = "Whoever holds it, exclusively, leads; nothing is sent there"
    told = "A frontend's own: whether a task was accepted, or has ended"
    storage = "SMAPIv2, from workers whose disks a storage service has; a frontend passes it to its switch"
    shared = {
        "door": _channel(door_queue(INSTANCE), "Clients' requests; frontends serve it", requests),
        "control": _channel(control_queue(INSTANCE), "Reads, metadata; workers serve it", _to(Control)),
        "events": _channel(events_queue(INSTANCE), "Tasks, updates; event hubs serve it", _to(Events)),
        "lanes": _channel(lanes_queue(INSTANCE), "Lanes, workers; redirectors serve it", _to(Lanes)),
        "storage": _channel(storage_queue(INSTANCE), storage, []),
    }
    return {
        **{name: _made(part, SHARED) for name, part in shared.items()},
        "leader": _made(_channel(leader_queue(INSTANCE), leads, []), LEADERS),
        "inbox": _made(_channel(inbox_queue("{id}"), told, _NOTICES), INBOX),
    }


def operations() -> dict[str, Part]:
    """Who does what where: clients call, services write, all may read."""
    found: dict[str, Part] = {}
    for name in ALL_METHODS:
        found[f"call.{name}"] = {
            "action": "send",
            "summary": _done_by(name),
            "channel": {"$ref": "#/channels/door"},
            "messages": [{"$ref": f"#/channels/door/messages/{name}.request"}],
            "reply": {
                "address": {"location": "$message.header#/reply_to"},
                "channel": {"$ref": "#/channels/reply"},
                "messages": [{"$ref": f"#/channels/reply/messages/{name}.answer"}],
            },
        }
    for role in Role:
        kinds = sorted(kind for kind, roles in WRITERS.items() if role in roles)
        if kinds:
            found[f"append.{role}"] = {
                "action": "send",
                "summary": f"What a {role} may write; the broker refuses it the rest",
                "channel": {"$ref": "#/channels/exchange"},
                "messages": [{"$ref": f"#/channels/exchange/messages/record.{kind}"} for kind in kinds],
            }
    for log in ("log", "observersLog"):
        found[f"read.{log}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{log}"}}
    return found


_NOTICES = ["notice.Accepted", "notice.Rejected", "notice.Ended"]


def _to(kind: type) -> list[str]:
    """The requests that a frontend passes on by a route."""
    return [f"{name}.request" for name in ALL_METHODS if isinstance(route(name), kind)]


def _done_by(method: str) -> str:
    match route(method):
        case Queued(awaited=None):
            return "Becomes a task: answered with its id"
        case Queued():
            return "Becomes a task: answered at its end"
        case Control():
            return "Answered by a worker"
        case Events():
            return "Answered by an event hub"
        case Lanes():
            return "Answered by the leading redirector"


def _channel(address: str, description: str, messages: Iterable[str]) -> Part:
    made = {"address": address, "description": description, "messages": _references(messages)}
    parameters = {name: part for name, part in _PARAMETERS.items() if f"{{{name}}}" in address}
    return {**made, "parameters": parameters}


def _made(channel: Part, queue: Part) -> Part:
    """The channel as a queue that is made so."""
    return {**channel, "bindings": {"amqp": {"is": "queue", "queue": queue, "bindingVersion": _BINDING}}}


def _as_asyncapi(part: Any) -> Any:
    """A schema in AsyncAPI's own dialect: tuples as in draft 7, a discriminator by its property's name."""
    if isinstance(part, list):
        return [_as_asyncapi(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {{"prefixItems": "items"}.get(key, key): _as_asyncapi(value) for key, value in part.items()}
    if isinstance(made.get("discriminator"), dict):
        made["discriminator"] = made["discriminator"]["propertyName"]
    return made


def _references(names: Iterable[str]) -> dict[str, Part]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _messages(wire: Iterable[str], notices: Iterable[str]) -> dict[str, Part]:
    """All messages by name; a record's payload is the envelope with it."""
    envelope = {"$ref": f"{SCHEMAS}{LOG}Envelope"}
    records = {
        f"record.{kind}": {
            "name": kind,
            "payload": {
                "allOf": [envelope, {"properties": {"record": {"$ref": f"{SCHEMAS}{LOG}{kind}"}}}],
            },
        }
        for kind in WRITERS
    }
    asked = {name: {"name": name, "payload": {"$ref": f"{SCHEMAS}{WIRE}{name}"}} for name in wire}
    told = {
        f"notice.{name}": {"name": name, "payload": {"$ref": f"{SCHEMAS}{NOTICE}{name}"}}
        for name in notices
        if f"notice.{name}" in _NOTICES
    }
    return {**records, **asked, **told}


def main() -> None:
    """Write it."""
    Path(PATH).write_text(schemas.text_of(document()))


if __name__ == "__main__":
    main()
