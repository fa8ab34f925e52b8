"""Scheduler: the one queue of all that is going to happen, by a clock that moves from one to the next."""

from collections.abc import Callable
from heapq import heappop, heappush

Action = Callable[[], object]

EPOCH_S = 1_700_000_000.0
"""What virtual time begins at, in seconds since the epoch."""


class Scheduler:
    """What is due at the same time happens in the order in which it was asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._due: list[tuple[float, int, Action]] = []
        self._number = 0

    def after(self, delay_s: float, action: Action) -> None:
        """Do something after a while."""
        self._number += 1
        heappush(self._due, (self.now + delay_s, self._number, action))

    def at(self, time_s: float, action: Action) -> None:
        """Do something at a time."""
        self._number += 1
        heappush(self._due, (time_s, self._number, action))

    def run_until(self, end_s: float) -> None:
        """Let everything happen that is due up to a time."""
        due, before = self._due, self._number - len(self._due)
        while due and due[0][0] <= end_s:
            self.now, _, action = heappop(due)
            action()
        self.steps += self._number - len(due) - before
        self.now = end_s


class HostClock:
    """One host's clock: `skew_s` off the true time, which is the scheduler's."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.skew_s = 0.0

    def now(self) -> float:
        """Seconds since the epoch, as this host believes."""
        return EPOCH_S + self._scheduler.now + self.skew_s

    def monotonic(self) -> float:
        """Seconds since the simulation began."""
        return self._scheduler.now
