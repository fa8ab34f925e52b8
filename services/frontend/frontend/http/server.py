"""Server: the connections of one door, counted, and let go when they are silent for too long."""

import asyncio
import logging

from frontend.http.connection import Connection
from frontend.http.door import Door, Kept
from frontend.http.message import Limits

_log = logging.getLogger("frontend")


class HttpServer:
    """Makes a protocol for each connection: `factory` is for an event loop's servers."""

    def __init__(self, door: Door, limits: Limits) -> None:
        self.door = door
        self.limits = limits
        self.connections: set[Kept] = set()
        self.held_bytes = 0
        self._sweeping: asyncio.TimerHandle | None = None

    def factory(self) -> Connection:
        """A connection's protocol."""
        return Connection(self)

    def admit(self, connection: Kept) -> bool:
        """Count a connection in; answers whether there is a place for it."""
        if len(self.connections) >= self.limits.connections_max:
            return False
        self.connections.add(connection)
        if self._sweeping is None:
            self._sweeping = connection.loop.call_later(self.limits.sweep_s, self._sweep, connection.loop)
        return True

    def hold(self, size: int) -> bool:
        """Count some bytes of requests in, or out; answers whether there was room for them."""
        if size > 0 and self.held_bytes + size > self.limits.bytes_max:
            return False
        self.held_bytes += size
        return True

    def dismiss(self, connection: Kept) -> bool:
        """Count a connection out; answers whether it was in."""
        was_in = connection in self.connections
        self.connections.discard(connection)
        return was_in

    def close(self) -> None:
        """Part from all clients; on the loop's thread."""
        for connection in list(self.connections):
            connection.abort()

    def report(self, error: Exception) -> None:
        """A bug behind the door; only one request has suffered from it."""
        _log.error("a door met a bug; it goes on", exc_info=error)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.connections):
            connection.on_time(now)
        again = bool(self.connections)
        self._sweeping = loop.call_later(self.limits.sweep_s, self._sweep, loop) if again else None
