"""Snapshot: what a worker's core knows of the log as lines of JSON, and back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bus import versioned
from schema.ids import LeaseToken, TaskId, Term
from schema.records import Submitted

VERSION = 1
"""Of these lines. Who changes them reads the older ones, too, or makes do without: see docs/log.md."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A lease without its task."""

    token: LeaseToken
    life: float
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class CoreState:
    """All that a worker's core knows of the log. `is_known`: in this life of it, that worker stands in it."""

    life: float | None
    term: Term
    submitted: Mapping[TaskId, Submitted]
    leases: Mapping[TaskId, LeaseState]
    cancelled: frozenset[TaskId]
    parked: Mapping[TaskId, float]
    is_known: bool = True


def encoded(state: CoreState) -> Iterator[bytes]:
    """The lines, made one by one."""
    yield versioned.line(
        version=VERSION,
        life=state.life,
        term=state.term,
        leases=[(task, lease.token, lease.life, lease.traceparent) for task, lease in state.leases.items()],
        cancelled=sorted(state.cancelled),
        parked=list(state.parked.items()),
        known=state.is_known,
    )
    for task, submitted in state.submitted.items():
        yield versioned.line(task=task, submitted=submitted.model_dump_json())


def decoded(lines: Iterable[bytes]) -> CoreState:
    """What the lines say.

    Raises:
        SnapshotError: another version wrote them, or they do not parse.
    """
    return versioned.read(lines, VERSION, _decoded)


def _decoded(first: Any, others: list[Any]) -> CoreState:
    return CoreState(
        life=first["life"],
        term=Term(first["term"]),
        submitted={TaskId(line["task"]): Submitted.model_validate_json(line["submitted"]) for line in others},
        leases={
            TaskId(task): LeaseState(LeaseToken(token), life, cause)
            for task, token, life, cause in first["leases"]
        },
        cancelled=frozenset(map(TaskId, first["cancelled"])),
        parked={TaskId(task): until for task, until in first["parked"]},
        is_known=first.get("known", True),
    )
