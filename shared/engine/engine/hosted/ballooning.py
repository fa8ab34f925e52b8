"""Ballooning: a guest gives memory back, or takes it, in its own time."""

from collections.abc import Callable

from schema.fault import XenopsError
from schema.objects.errors import BallooningTimeoutBeforeMigration

from engine.backend import Execution

TIMEOUT_S = 120.0
"""As in the original."""

_POLL_S = 0.2

_SLACK_BYTES = 4 << 20
"""A balloon this near to its target has reached it."""


def await_balloon(execution: Execution, distance: Callable[[], int]) -> None:
    """Wait until a guest has the memory that it shall have: `distance`, in bytes, is looked at meanwhile.

    Errors: `Ballooning_timeout_before_migration`, `Cancelled`.
    """
    waited_s = 0.0
    while abs(distance()) > _SLACK_BYTES:
        if waited_s >= TIMEOUT_S:
            raise XenopsError(BallooningTimeoutBeforeMigration())
        execution.wait(_POLL_S)
        waited_s += _POLL_S
