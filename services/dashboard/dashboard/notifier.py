"""Notifier: wakes all who wait for news, at most so often; who does not wait misses nothing."""

import asyncio

from bus.ports import Bus

PAUSE_S = 0.05
"""Between two notifications: what comes meanwhile is told together."""


class Notifier:
    """To be used on the bus's thread."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: set[asyncio.Future[None]] = set()
        self._rests = False
        self._owes = False

    def notify(self) -> None:
        """There is news."""
        if self._rests:
            self._owes = True
            return
        self._rests, self._owes = True, False
        waiting, self._waiting = self._waiting, set()
        for one in waiting:
            if not one.done():
                one.set_result(None)
        self._bus.later(PAUSE_S, self._rested)

    def _rested(self) -> None:
        self._rests = False
        if self._owes:
            self.notify()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for news, so long at most; answers whether there is any."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiting)
        return True
