"""Looped: what a bus does by the loop on its own thread, whatever its way to others."""

import socket
import ssl
import threading

from typing_extensions import override

from bus.calls import wait_for
from bus.loop import Action, Loop, OnConnection, Protocols
from bus.ports import BusUnavailableError, LookingBus, Request


class LoopedBus(LookingBus):
    """Those of `LookingBus` that need no broker. Who has set `_closed` makes no more calls."""

    def __init__(self, name: str) -> None:
        self._loop = Loop(f"bus-{name}")
        self._closed = threading.Event()

    @override
    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        self._refuse_here("call")
        if self._closed.is_set():
            raise BusUnavailableError(f"call to the queue {queue} on a bus that is closed")
        return wait_for(
            lambda on_answer: self.ask(queue, Request(body), timeout_s, on_answer), queue, timeout_s
        )

    @override
    def listen(
        self, listener: socket.socket, protocols: Protocols, tls: ssl.SSLContext | None = None
    ) -> None:
        self._loop.listen(listener, protocols, tls)

    @override
    def accept(self, listener: socket.socket, on_connection: OnConnection) -> None:
        self._loop.accept(listener, on_connection)

    @override
    def adopt(self, connected: socket.socket, protocols: Protocols) -> None:
        self._loop.adopt(connected, protocols)

    @override
    def every(self, interval_s: float, action: Action) -> None:
        self._loop.soon(lambda: self._loop.every(interval_s, action))

    @override
    def later(self, delay_s: float, action: Action) -> None:
        def begin() -> None:
            self._loop.later(delay_s, action)

        self._loop.soon(begin)

    @override
    def call_soon(self, action: Action) -> None:
        self._loop.soon(action)

    def _refuse_here(self, method: str) -> None:
        """Errors: RuntimeError on the bus's own thread, which would wait for itself."""
        if self._loop.is_here():
            raise RuntimeError(f"{method}() on the bus's own thread would wait for itself")
