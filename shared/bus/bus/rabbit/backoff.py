"""Backoff: delays that double from attempt to attempt, with jitter, until one succeeds."""

import random

from bus.rabbit.constants import RETRY_FIRST_S, RETRY_MOST_S


class Backoff:
    """How long to wait before the next attempt at one thing."""

    def __init__(self, most_s: float = RETRY_MOST_S) -> None:
        self._next_s = RETRY_FIRST_S
        self._most_s = most_s

    def delay_s(self) -> float:
        """How long to wait now."""
        delay, self._next_s = self._next_s, min(self._next_s * 2, self._most_s)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnections, keeps no secret

    def reset(self) -> None:
        """An attempt has succeeded."""
        self._next_s = RETRY_FIRST_S
