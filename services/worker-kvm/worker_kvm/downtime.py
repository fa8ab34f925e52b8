"""Downtime: how long a guest may stand still for the rest of its memory: little at first, then more."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_DOWNTIME_MS = 20
"""What it may take for as long as `PATIENCE_S`: else a guest that writes nothing stands still for any that
the end of the first pass happens to go in."""

DOWNTIME_MS = 100
"""What it may take from then on."""

PATIENCE_S = 5.0


@dataclass(slots=True)
class Downtime:
    """Of one guest on its way; who watches that has it looked at now and then."""

    allow: Callable[[int], object]
    """Tells QEMU the milliseconds; a no is nothing to it: all may be there just now."""
    clock: Callable[[], float] = time.monotonic
    _more_at: float | None = field(default=None, init=False)

    def set_out(self) -> None:
        """Its memory begins to go, with what it may take at first."""
        self._more_at = self.clock() + PATIENCE_S

    def look(self) -> None:
        """Allow more, once, when it is time for that."""
        if self._more_at is not None and self.clock() >= self._more_at:
            self._more_at = None
            self.allow(DOWNTIME_MS)
