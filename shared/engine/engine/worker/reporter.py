"""Reporter: gathers what a running task has to tell into few records, so that a short task makes but one."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bus.clock import SYSTEM_CLOCK, Clock
from schema.atomics import Atomic
from schema.ids import WorkerName
from schema.objects.dynamic import ObjectId
from schema.overseen import Atom
from schema.records import Progress, Record, Started

from engine.backend import Execution
from engine.cancellation import Cancellation
from engine.execute import Perform
from engine.worker.core import Lease

INTERVAL_S = 0.1
"""How often, at most, a task in progress says so; a client's bar moves ten times a second."""

STARTED_AFTER_S = 0.02
"""How long a task may take without a word: every service reads every record, and most tasks are over then."""

TURN_S = 0.02
"""How much longer a task is silent for each that runs beside it: a worker says at most fifty such things a
second, however much it has to do, for every service reads each, and the more there are, the slower all go."""

TURN_S_MAX = 2.0
"""The longest that any is silent so: whoever looks at a bar sees it move."""

ATOMS_MAX = 256
"""So many atomics of a task are told of, the first; a VM.start of the tests' VM has some twenty."""

_DIGITS = 6
"""Of a second, in what is told of an atomic."""


def _alone() -> int:
    return 1


@dataclass(frozen=True, slots=True)
class Telling:
    """How what a task has to tell gets out: `running` is how many tasks this worker has under way."""

    append: Callable[[Record], None]
    clock: Clock = SYSTEM_CLOCK
    running: Callable[[], int] = _alone

    def turn_s(self) -> float:
        """How long each task is silent, for all to have their turn."""
        return min(TURN_S_MAX, TURN_S * max(0, self.running() - 1))


class Reporter:
    """One task's; safe for any thread."""

    def __init__(self, lease: Lease, cancellation: Cancellation, telling: Telling) -> None:
        self._lease = lease
        self._cancellation = cancellation
        self._append = telling.append
        self._clock = telling.clock
        self._turn_s = telling.turn_s
        self._lock = threading.Lock()
        self._changed: dict[ObjectId, None] = {}
        self._fraction = 0.0
        self._told = (0.0, "")
        self._told_at = self._begun_at = self._clock.monotonic()
        self._started: Started | None = None
        self._atom = ""
        self._atom_began = 0.0
        self._atoms: list[Atom] = []
        self._atoms_told = 0

    def begin(self, worker: WorkerName, *, tell: bool) -> None:
        """The task is executed from now on; said at once, or when it has taken a while."""
        lease = self._lease
        started = Started(vm=lease.submitted.vm, task=lease.task, token=lease.token, worker=worker)
        with self._lock:
            self._started = started
            self._begun_at = self._clock.monotonic()
        if tell:
            self._tell_started()

    def signal(self, changed: ObjectId) -> None:
        """An object has changed."""
        with self._lock:
            self._changed.pop(changed, None)
            self._changed[changed] = None

    def progress(self, fraction: float) -> None:
        """The task has come so far."""
        with self._lock:
            self._fraction = fraction

    def tell_if_due(self) -> None:
        """Append what has come up, unless the last time is too short ago; to be called every `INTERVAL_S`.

        Not by who executes the task: its last step would be told of just before its end, which then waits
        until every service has read that.
        """
        now = self._clock.monotonic()
        if now - self._begun_at < STARTED_AFTER_S and now - self._told_at < INTERVAL_S:
            return  # whenever its turn is: most tasks end before
        turn_s = self._turn_s()
        if self._started is not None and now - self._begun_at >= max(STARTED_AFTER_S, turn_s):
            self._tell_started()
        with self._lock:
            seen = (self._fraction, self._atom)
            nothing_new = not self._changed and seen == self._told
            if nothing_new or now - self._told_at < max(INTERVAL_S, turn_s):
                return
            self._told_at, self._told = now, seen
            self._append(self._progressed(now))

    def _progressed(self, now: float) -> Progress:
        ended, self._atoms_told = tuple(self._atoms[self._atoms_told :]), len(self._atoms)
        return Progress(
            vm=self._lease.submitted.vm,
            task=self._lease.task,
            token=self._lease.token,
            fraction=self._fraction,
            debug_info=self.debug_info(),
            cancellable=not self._cancellation.forbidden,
            changed=self._take(),
            atom=self._atom,
            atom_began_s=self._since_begin(self._atom_began) if self._atom else None,
            atoms=ended,
            ran_s=self._since_begin(now),
        )

    def _since_begin(self, at: float) -> float:
        return round(at - self._begun_at, _DIGITS)

    def noted(self, perform: Perform) -> Perform:
        """Performs each atomic, and notes when and for how long, in whichever thread that is."""

        def perform_noted(atomic: Atomic, execution: Execution) -> Any:
            began = self._clock.monotonic()
            with self._lock:
                self._atom, self._atom_began = atomic.kind, began
            failed = True
            try:
                result = perform(atomic, execution)
                failed = False
            finally:
                self._note(atomic.kind, began, failed=failed)
            return result

        return perform_noted

    def _note(self, kind: str, began: float, *, failed: bool) -> None:
        took_s = self._clock.monotonic() - began
        with self._lock:
            if len(self._atoms) < ATOMS_MAX:
                self._atoms.append(Atom(kind, self._since_begin(began), round(took_s, _DIGITS), failed))

    def atoms(self) -> tuple[Atom, ...]:
        """The atomics that have ended, in the order of their ends."""
        with self._lock:
            return tuple(self._atoms)

    def rest(self) -> tuple[ObjectId, ...]:
        """What has changed and was not told yet; for the record of the end, after which nothing is told."""
        with self._lock:
            self._started = None
            return self._take()

    def debug_info(self) -> tuple[tuple[str, str], ...]:
        """What a task shows of itself to whoever looks for faults."""
        return (("cancel_points_seen", str(self._cancellation.points)),)

    def _tell_started(self) -> None:
        with self._lock:
            started, self._started = self._started, None
            if started is not None:
                self._append(started)

    def _take(self) -> tuple[ObjectId, ...]:
        changed, self._changed = tuple(self._changed), {}
        return changed
