"""Clock: where a service has the time from: the system, or a simulation that makes its own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks, as every system has them."""

    def now(self) -> float:
        """Seconds since the epoch, by this host; somebody may set it forward or back."""

    def monotonic(self) -> float:
        """Seconds since some moment; goes on evenly."""


class SystemClock:
    """The system's own."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()
