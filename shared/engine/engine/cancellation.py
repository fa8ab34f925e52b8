"""Cancellation: whether one task shall stop, who must be woken for it, which cancel points it has passed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schema.fault import XenopsError
from schema.ids import TaskId
from schema.objects.errors import Cancelled

from engine.threads import MakeFlag


class Cancellation:
    """One task's; safe for any thread.

    `trigger` is the cancel point at which the task cancels itself, counted from 1: DEBUG.trigger's way to
    cancel at every point in turn. `flag` makes what it waits for.
    """

    def __init__(self, task: TaskId, trigger: int | None = None, flag: MakeFlag = threading.Event) -> None:
        self._error = Cancelled(task=str(task))
        self._trigger = trigger
        self._lock = threading.Lock()
        self._wanted = flag()
        self._forbidden = False
        self._points = 0
        self._wake: list[Callable[[], None]] = []

    @property
    def points(self) -> int:
        """How many cancel points were passed."""
        return self._points

    @property
    def wanted(self) -> bool:
        """Whether the task shall stop."""
        return self._wanted.is_set()

    @property
    def forbidden(self) -> bool:
        """Whether a cancel comes too late."""
        return self._forbidden

    def cancel(self) -> None:
        """Let the task stop at its next cancel point, and wake it if it waits; too late, it does nothing."""
        with self._lock:
            if self._forbidden:
                return
            self._wanted.set()
            waiting = list(self._wake)
        for wake in waiting:
            wake()

    def fence(self) -> None:
        """Stop the task whatever it does: somebody else may have its VM by now."""
        with self._lock:
            self._forbidden = False
        self.cancel()

    def check(self) -> None:
        """A cancel point: raises `XenopsError(Cancelled)` if the task shall stop."""
        with self._lock:
            self._points += 1
            if self._points == self._trigger and not self._forbidden:
                self._wanted.set()
        self.look()

    def look(self) -> None:
        """Raise if the task shall stop; no cancel point, so that the original counts as many."""
        if self._wanted.is_set():
            raise XenopsError(self._error)

    def forbid(self) -> None:
        """From here on a cancel comes too late; raises if one has come before."""
        with self._lock:
            if not self._wanted.is_set():
                self._forbidden = True
                return
        raise XenopsError(self._error)

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """While inside, a cancel calls `wake`, from another thread; one that came before, at once."""
        with self._lock:
            self._wake.append(wake)
            late = self._wanted.is_set()
        try:
            if late:
                wake()
            yield
        finally:
            with self._lock:
                self._wake.remove(wake)

    def wait(self, delay_s: float) -> None:
        """Sleep, unless cancelled: then raise at once."""
        if self._wanted.wait(delay_s):
            raise XenopsError(self._error)
