"""Snapshot: what a worker's core knows of the log as lines of JSON, and back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus import versioned
from schema.ids import LeaseToken, TaskId, Term, VmId
from schema.records import Submitted

from engine.worker.leases_read import KNOWS_NOTHING, LeasesRead, ReadBefore

VERSION = 1
"""Of these lines. Who changes them reads the older ones, too, or makes do without: see docs/log.md."""

VMS_A_LINE = 1_000
"""Of so many VMs a line says which lease was read last."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A lease without its task."""

    token: LeaseToken
    life: float
    traceparent: str | None
    before: ReadBefore = KNOWS_NOTHING


@dataclass(frozen=True, slots=True)
class CoreState:
    """All that a worker's core knows of the log. `is_known`: in this life of it, that worker stands in it.

    Earlier versions have put away nothing of the leases that were `read`.
    """

    life: float | None
    term: Term
    submitted: Mapping[TaskId, Submitted]
    leases: Mapping[TaskId, LeaseState]
    cancelled: frozenset[TaskId]
    parked: Mapping[TaskId, float]
    is_known: bool = True
    read: LeasesRead = field(default_factory=lambda: LeasesRead(None))


def encoded(state: CoreState) -> Iterator[bytes]:
    """The lines, made one by one."""
    yield versioned.line(
        version=VERSION,
        life=state.life,
        term=state.term,
        leases=[(task, *_lease_line(lease)) for task, lease in state.leases.items()],
        cancelled=sorted(state.cancelled),
        parked=list(state.parked.items()),
        known=state.is_known,
        read_since=state.read.since,
    )
    for page in state.read.pages(VMS_A_LINE):
        yield versioned.line(read=page)
    for task, submitted in state.submitted.items():
        yield versioned.line(task=task, submitted=submitted.model_dump_json())


def decoded(lines: Iterable[bytes]) -> CoreState:
    """What the lines say.

    Raises:
        SnapshotError: another version wrote them, or they do not parse.
    """
    return versioned.read(lines, VERSION, _decoded)


def _lease_line(lease: LeaseState) -> tuple[object, ...]:
    return (lease.token, lease.life, lease.traceparent, (lease.before.token, lease.before.since))


def _decoded(first: Any, others: list[Any]) -> CoreState:
    read = {VmId(vm): LeaseToken(token) for line in others for vm, token in line.get("read", ())}
    return CoreState(
        life=first["life"],
        term=Term(first["term"]),
        submitted={
            TaskId(line["task"]): Submitted.model_validate_json(line["submitted"])
            for line in others
            if "read" not in line
        },
        leases={TaskId(task): _lease_of(*lease) for task, *lease in first["leases"]},
        cancelled=frozenset(map(TaskId, first["cancelled"])),
        parked={TaskId(task): until for task, until in first["parked"]},
        is_known=first.get("known", True),
        read=LeasesRead(first.get("read_since"), read),
    )


def _lease_of(token: int, life: float, cause: str | None, before: list[int] | None = None) -> LeaseState:
    known = KNOWS_NOTHING if before is None else ReadBefore(*map(LeaseToken, before))
    return LeaseState(LeaseToken(token), life, cause, known)
