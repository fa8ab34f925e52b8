"""Loop: the one thread that a bus's handlers run on: an event loop, and whatever is handed to it."""

import asyncio
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

import uvloop

from bus.trouble import report

Action = Callable[[], None]
Protocols = Callable[[], asyncio.BaseProtocol]
"""Makes what speaks with one client, as `asyncio` wants it."""

OnConnection = Callable[[socket.socket], None]
"""Gets a connection that has been taken, which is its own to close; it does not block."""

LISTEN_BACKLOG = 512
"""Connections that may wait to be taken."""

HANDSHAKE_S = 10.0
"""How long a client may take until it speaks TLS with us."""

ACCEPT_AGAIN_S = 0.5
"""How long none is taken after that has failed."""

TRANSPORTS_LOOKED_THROUGH = 64
"""So many may be known that have closed."""

_log = logging.getLogger("bus")


class Loop:
    """Actions run one at a time, in order, on the loop's thread; once it has ended, none does."""

    def __init__(self, name: str) -> None:
        self.asyncio: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self.asyncio.set_exception_handler(_on_exception)
        self._actions: deque[Action] = deque()
        self._scheduled = False
        self._ended = False
        self._lock = threading.Lock()
        self._listeners: list[socket.socket] = []
        self._transports = _Transports()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def is_here(self) -> bool:
        """Whether this is the loop's thread."""
        return threading.current_thread() is self._thread

    def soon(self, action: Action) -> None:
        """Run an action soon; from any thread. One wake-up serves all that comes before it.

        The loop's own thread is awake, and need not be woken: that would be two more system calls.
        """
        wake = self.asyncio.call_soon if self.is_here() else self.asyncio.call_soon_threadsafe
        with self._lock:
            self._actions.append(action)
            if self._scheduled or self._ended:
                return
            self._scheduled = True
            wake(self._drain)

    def later(self, delay_s: float, action: Action) -> asyncio.TimerHandle:
        """Run an action after a while, unless it is cancelled; on the loop's thread only."""
        return self.asyncio.call_later(delay_s, guarded, action)

    def every(self, interval_s: float, action: Action) -> None:
        """Run an action again and again; on the loop's thread only."""

        def again() -> None:
            guarded(action)
            self.asyncio.call_later(interval_s, again)

        self.asyncio.call_later(interval_s, again)

    def listen(
        self, listener: socket.socket, protocols: Protocols, tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve a bound stream socket until the loop's end, by TLS if so told; from any thread."""
        self.accept(listener, lambda connected: self._serve(self._receive(connected, protocols, tls)))

    def accept(self, listener: socket.socket, on_connection: OnConnection) -> None:
        """Take the connections of a bound stream socket until the loop's end; from any thread."""
        listener.setblocking(False)  # noqa: FBT003  the socket module's own interface
        listener.listen(LISTEN_BACKLOG)
        self._listeners.append(listener)
        self.soon(lambda: self._watch(listener, on_connection))

    def adopt(self, connected: socket.socket, protocols: Protocols) -> None:
        """Serve a connected stream socket; on the loop's thread only."""
        self._serve(self._receive(connected, protocols, None))

    def _serve(self, receiving: Coroutine[None, None, None]) -> None:
        task = self.asyncio.create_task(receiving)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """End the thread, once what is under way is done."""
        self.soon(self.asyncio.stop)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; answers whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _watch(self, listener: socket.socket, on_connection: OnConnection) -> None:
        self.asyncio.add_reader(listener.fileno(), self._accept, listener, on_connection)

    def _accept(self, listener: socket.socket, on_connection: OnConnection) -> None:
        """Take all connections that wait."""
        try:
            while True:
                connected, _ = listener.accept()
                connected.setblocking(False)  # noqa: FBT003  as above
                on_connection(connected)
        except BlockingIOError:
            return
        except OSError as error:  # too many open files: those that wait are taken once there are fewer
            self.asyncio.remove_reader(listener.fileno())
            self.later(ACCEPT_AGAIN_S, lambda: self._watch(listener, on_connection))
            report(error)

    async def _receive(
        self, connected: socket.socket, protocols: Protocols, tls: ssl.SSLContext | None
    ) -> None:
        patience_s = None if tls is None else HANDSHAKE_S
        try:
            transport, _ = await self.asyncio.connect_accepted_socket(
                protocols, connected, ssl=tls, ssl_handshake_timeout=patience_s
            )
        except OSError as error:  # TLS's errors and a handshake that takes too long are such, too
            _log.info("a client was not let in: %s", error)
            return
        self._transports.add(transport)

    def _run(self) -> None:
        asyncio.set_event_loop(self.asyncio)
        self.asyncio.run_forever()
        with self._lock:
            self._ended = True
        self.asyncio.run_until_complete(self._part())
        self.asyncio.close()

    async def _part(self) -> None:
        """Close what is open, so that everybody at the other end knows."""
        for listener in self._listeners:
            self.asyncio.remove_reader(listener.fileno())
            listener.close()
        self._transports.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the transports part in the loop's next turn

    def _drain(self) -> None:
        with self._lock:
            actions, self._actions = self._actions, deque()
            self._scheduled = False
        for action in actions:
            guarded(action)


class _Transports:
    """Those that are open. Weak references would do, but uvloop's transports of TLS take none."""

    def __init__(self) -> None:
        self._known: set[asyncio.Transport] = set()
        self._enough = TRANSPORTS_LOOKED_THROUGH

    def add(self, transport: asyncio.BaseTransport) -> None:
        """Know one more; those that have closed are forgotten once there are twice as many as were open."""
        if len(self._known) >= self._enough:
            self._known = {each for each in self._known if not each.is_closing()}
            self._enough = max(TRANSPORTS_LOOKED_THROUGH, 2 * len(self._known))
        self._known.add(cast("asyncio.Transport", transport))

    def abort(self) -> None:
        """Close all at once."""
        for transport in self._known:
            transport.abort()


def guarded(action: Callable[[], object]) -> None:
    """Run an action; a bug in it is reported and costs nobody else anything."""
    try:
        action()
    except Exception as error:  # noqa: BLE001  the bus's loop: the next message is another's
        report(error)


def _on_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What went wrong outside of any action: in a library's callback, or in a task that nobody waits for."""
    error = context.get("exception")
    report(error if isinstance(error, Exception) else RuntimeError(context.get("message", "unknown")))
