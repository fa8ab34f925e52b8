"""Eventually: what need not hold yet, but must before long."""

import threading
from collections.abc import Callable
from typing import TypeVar

from bus.ports import BusError
from schema.fault import XenopsError

PATIENCE_S, QUIET_S = 90.0, 0.1

T = TypeVar("T")


def eventually(holds: Callable[[], T]) -> T:
    """What it answers once it holds."""
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / QUIET_S)):
        try:
            return holds()
        except (AssertionError, BusError, XenopsError):
            pause.wait(QUIET_S)
    return holds()
