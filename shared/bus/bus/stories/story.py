"""Story: one task as operators see it, from its request to its end. Times are seconds since the epoch."""

from dataclasses import dataclass, field
from enum import StrEnum

from schema.overseen import Atom


class State(StrEnum):
    """What has become of a task."""

    WAITING = "waiting"
    RUNNING = "running"
    PARKED = "parked"
    """It holds its lane, but no place of its worker."""
    MERGED = "merged"
    """It ends with the task `into` which it was merged."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.REFUSED})
"""The states that no task leaves."""


@dataclass(slots=True)
class Story:
    """One task as far as the log tells."""

    id: int
    vm: str
    operation: str
    dbg: str
    submitted_at: float
    trace: str = ""
    state: State = State.WAITING
    priority: int = 0
    deadline: float | None = None
    leased_at: float | None = None
    attempts: int = 0
    """How many leases it had."""
    began_at: float | None = None
    """When its execution began, as far as its worker has told while it runs."""
    worker: str = ""
    token: int | None = None
    progress: float = 0.0
    atom: str = ""
    atom_began_s: float | None = None
    """When the atomic that is being performed began, in seconds from `steps_at`."""
    cancellable: bool = True
    cancel_at: float | None = None
    cancel_by: str = ""
    into: int | None = None
    followers: list[int] = field(default_factory=list)
    ended_at: float | None = None
    duration_s: float = 0.0
    error: str = ""
    """Why it failed, in words."""
    error_kind: str = ""
    """The same by its name in the interface."""
    atoms: tuple[Atom, ...] = ()
    """Those that have ended; while it runs, as far as its worker has told."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    @property
    def steps_at(self) -> float | None:
        """From when on its steps are counted; None: not known, or it has none."""
        return self.began_at if self.ended_at is None else self.ended_at - self.duration_s

    @property
    def waited_s(self) -> float | None:
        """How long it waited for its lease, or for its end if it never ran; None while it waits."""
        until = self.leased_at if self.leased_at is not None else self.ended_at
        return None if until is None else max(0.0, until - self.submitted_at)
