"""Roles: who may write which records, and what a broker must let each of them do."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from schema.ids import InstanceName

from bus.topology import (
    EXCHANGE,
    INBOX,
    control_queue,
    door_queue,
    events_queue,
    lanes_queue,
    leader_queue,
    log_stream,
    observers_log,
    routing_word,
    snapshot_stream,
    snapshots_of,
    storage_queue,
)


class Role(StrEnum):
    """What somebody with a user of the broker is for."""

    FRONTEND = "frontend"
    REDIRECTOR = "redirector"
    EVENTHUB = "eventhub"
    WORKER = "worker"
    DASHBOARD = "dashboard"
    """The operators' page and HTTP API: asks for them, reads the logs, and writes down who asked for what."""
    OPERATOR = "operator"
    """Asks as a client does, and reads the logs."""
    CLIENT = "client"
    """A toolstack: asks, and is answered."""


SERVICES = frozenset({Role.FRONTEND, Role.REDIRECTOR, Role.EVENTHUB, Role.WORKER, Role.DASHBOARD})

_FRONTEND, _REDIRECTOR, _EVENTHUB, _WORKER, _DASHBOARD = (
    frozenset({role}) for role in (Role.FRONTEND, Role.REDIRECTOR, Role.EVENTHUB, Role.WORKER, Role.DASHBOARD)
)
_ON_REQUEST = _FRONTEND | _REDIRECTOR | _EVENTHUB
"""Whoever serves a request that becomes such a record."""

_FOLDS = _REDIRECTOR | _EVENTHUB | _WORKER | _DASHBOARD
"""Whoever takes a log up from snapshots."""

WRITERS: Mapping[str, frozenset[Role]] = {
    "Submitted": _FRONTEND | _WORKER,
    "Refused": _REDIRECTOR,
    "Merged": _REDIRECTOR,
    "Leased": _REDIRECTOR,
    "Elected": _REDIRECTOR,
    "Started": _WORKER,
    "Parked": _WORKER,
    "Progress": _WORKER,
    "Heartbeat": _WORKER,
    "Changed": _WORKER | _EVENTHUB,
    "Finished": _WORKER | _REDIRECTOR,
    "CancelRequested": _ON_REQUEST,
    "TaskDestroyed": _FRONTEND | _EVENTHUB,
    "Barrier": _EVENTHUB,
    "BarrierRemoved": _EVENTHUB,
    "LaneHeld": _ON_REQUEST,
    "LaneReleased": _ON_REQUEST,
    "LaneShared": _WORKER,
    "Reprioritised": _ON_REQUEST,
    "DeadlineSet": _ON_REQUEST,
    "WorkerUp": _WORKER,
    "WorkerDown": _WORKER | _REDIRECTOR,
    "WorkerDraining": _ON_REQUEST,
    "ChannelOffered": _FRONTEND,
    "Removed": _WORKER,
    "Snapshotted": _FOLDS,
    "LifeBegan": _FOLDS,
    "Acted": _DASHBOARD,
    "Pinged": _DASHBOARD,
    "QuarantineRetried": _EVENTHUB,
    "QuarantineDiscarded": _EVENTHUB,
    "ObserverCreated": _WORKER,
    "ObserverChanged": _WORKER,
    "ObserverDestroyed": _WORKER,
    "TracingSet": _WORKER,
}
"""Who writes each kind of record. The broker refuses it to all others, by the routing key's last word."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """RabbitMQ's three patterns for one user of a virtual host, and two of routing keys.

    `append` are those of what it may append to logs, `bind` those that it may bind queues by. Patterns are
    regular expressions; "^$" is nothing.
    """

    configure: str
    write: str
    read: str
    append: str
    bind: str


NOTHING = "^$"
ANYTHING = ".*"
_REPLIES = r"amq\.gen-.*"
"""Queues that the broker names: whoever waits for answers has made one, unless he uses its pseudo-queue."""

_INBOXES = re.escape(INBOX) + ANYTHING

_OR_OBSERVERS = f"({re.escape(observers_log(InstanceName('')))})?"
"""Behind an instance's name: its observers' log, too."""

_POST = r"amq\.default"
"""The exchange that leads to any queue by its name."""


def permissions(role: Role, instances: Iterable[InstanceName]) -> Permissions:
    """The least that a role needs to do its work for these instances."""
    names = sorted(set(instances))
    logs = _any(map(log_stream, names)) + _OR_OBSERVERS
    exchange = re.escape(EXCHANGE)
    append, bind = _append(role, names), f"^{_any(map(routing_word, names))}{_own_snapshots(role)}$"
    snapshots = rf"{_any(snapshot_stream(name, '')[:-1] for name in names)}\.{role}(\..+)?"
    match role:
        case Role.FRONTEND:
            own = _both(_any(map(door_queue, names)), _any(map(storage_queue, names)), _INBOXES)
            return Permissions(_only(own), _only(exchange, _POST), _only(own, logs), append, NOTHING)
        case Role.REDIRECTOR:
            made = _both(_any(map(leader_queue, names)), logs, exchange)
            own = _both(_any(map(lanes_queue, names)), snapshots, _INBOXES)
            written = _only(made, snapshots, _POST)
            return Permissions(_only(made, own), written, _only(own, logs, exchange), append, ANYTHING)
        case Role.EVENTHUB:
            own = _both(_any(map(events_queue, names)), snapshots)
            written = _only(exchange, _POST, snapshots)
            return Permissions(_only(own), written, _only(own, logs, exchange), append, bind)
        case Role.WORKER:
            own = _both(_any(map(control_queue, names)), snapshots)
            written = _only(exchange, _POST, snapshots)
            return Permissions(_only(own), written, _only(own, logs, exchange), append, bind)
        case Role.DASHBOARD:
            own = _both(_REPLIES, snapshots)
            written = _only(exchange, _POST, snapshots)
            return Permissions(_only(own), written, _only(own, logs, exchange), append, bind)
        case Role.OPERATOR:
            return Permissions(_only(_REPLIES), _only(_POST), _only(_REPLIES, logs), NOTHING, NOTHING)
        case Role.CLIENT:
            return Permissions(_only(_REPLIES), _only(_POST), _only(_REPLIES), NOTHING, NOTHING)


def _append(role: Role, names: list[InstanceName]) -> str:
    """The routing keys of the records that are a role's to write."""
    kinds = sorted(kind for kind, roles in WRITERS.items() if role in roles)
    if not kinds:
        return NOTHING
    words = _any(map(routing_word, names))
    observers = re.escape(observers_log(InstanceName("")))
    return rf"^{words}(({observers})?\.[^.]+\.({'|'.join(kinds)})|{_own_snapshots(role)})$"


def _own_snapshots(role: Role) -> str:
    """The routing keys of the role's snapshots, behind an instance's word."""
    snapshots = re.escape(routing_word(snapshots_of(InstanceName(""))))
    return rf"{snapshots}\.[^.]+\.{role.capitalize()}Snapshot"


def _any(names: Iterable[str]) -> str:
    """One of the names: what they begin with alike is written once, as brokers take some 64 kB of pattern."""
    by_first: dict[str, list[str]] = {}
    for name in names:
        by_first.setdefault(name[:1], []).append(name[1:])
    ways = [re.escape(first) + (_any(rests) if first else "") for first, rests in sorted(by_first.items())]
    return ways[0] if len(ways) == 1 else f"({'|'.join(ways)})"


def _both(*patterns: str) -> str:
    return "|".join(patterns)


def _only(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"
