"""Client: requests to queues that are served on this host, over one connection to each."""

import logging
import time
from dataclasses import replace

from bus.calls import Calls
from bus.direct.address import connect
from bus.direct.frames import Frame, Kind, encode, fits
from bus.direct.pipe import Pipe
from bus.loop import Loop
from bus.ports import LostError, OnAnswer, Request

PREFIX = "xenops."
"""The queues of services, which are looked for on this host; reply queues of clients are not."""

LOOK_AGAIN_S = 1.0
"""How long a queue that nobody serves on this host counts as such."""

PING_S = 5.0
"""How often a peer must show that it lives: twice this, and it is taken for dead."""

SHUN_S = 60.0
"""How long a peer that did not is left alone: its queue goes by the broker."""

_PING = encode(Kind.PING, Request(b""))
_log = logging.getLogger("bus")


class DirectClient:
    """One bus's connections; on the loop's thread only. `broker` tells one broker's queues from another's."""

    def __init__(self, loop: Loop, broker: str) -> None:
        self._loop = loop
        self._broker = broker
        self._connections: dict[str, _Connection] = {}
        loop.soon(lambda: loop.every(PING_S, self._ping))

    def send(self, queue: str, request: Request) -> bool:
        """Send a message; answers False when it must go by the broker."""
        connection = self._to(queue, request)
        return connection is not None and connection.send(Kind.REQUEST, request)

    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> bool:
        """Send a request whose answer is handed over; False when it must go by the broker."""
        connection = self._to(queue, question)
        return connection is not None and connection.ask(question, timeout_s, on_answer)

    def close(self) -> None:
        """Part from all."""
        for connection in self._connections.values():
            connection.close()

    def _to(self, queue: str, request: Request) -> "_Connection | None":
        if not queue.startswith(PREFIX) or not fits(request):
            return None
        connection = self._connections.get(queue)
        if connection is None:
            connection = self._connections[queue] = _Connection(self._loop, self._broker, queue)
        return connection

    def _ping(self) -> None:
        for queue, connection in list(self._connections.items()):
            if not connection.ping():
                del self._connections[queue]


class _Connection:
    """The connection to one queue's first server on this host, if there is one."""

    def __init__(self, loop: Loop, broker: str, queue: str) -> None:
        self._loop = loop
        self._broker = broker
        self._queue = queue
        self._calls = Calls(loop)
        self._pipe: Pipe | None = None
        self._not_before = 0.0
        self._awaits_pong = False

    def send(self, kind: Kind, request: Request) -> bool:
        pipe = self._connected()
        if pipe is None:
            return False
        pipe.send(encode(kind, request))
        return True

    def ask(self, question: Request, timeout_s: float, on_answer: OnAnswer) -> bool:
        if self._connected() is None:
            return False
        correlation_id = self._calls.begin(self._queue, timeout_s, on_answer)
        return self.send(Kind.QUESTION, replace(question, reply_to=None, correlation_id=correlation_id))

    def ping(self) -> bool:
        """Ask whether the peer lives; answers False when this connection is of no use now."""
        if self._pipe is None:
            return time.monotonic() < self._not_before
        if self._awaits_pong:
            _log.warning("who serves %s on this host does not answer: it is left alone", self._queue)
            self._pipe.close()
            self._not_before = time.monotonic() + SHUN_S
        else:
            self._awaits_pong = True
            self._pipe.send(_PING)
        return True

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def _connected(self) -> Pipe | None:
        if self._pipe is None and time.monotonic() >= self._not_before:
            self._not_before = time.monotonic() + LOOK_AGAIN_S
            connected = connect(self._broker, self._queue)
            if connected is not None:
                self._pipe = Pipe(self._loop, connected, self._on_frame, self._on_lost)
        return self._pipe

    def _on_frame(self, frame: Frame) -> None:
        if frame.kind is Kind.ANSWER:
            self._calls.end(frame.request.correlation_id, frame.request.body)
        elif frame.kind is Kind.PONG:
            self._awaits_pong = False

    def _on_lost(self) -> None:
        self._pipe, self._awaits_pong = None, False
        self._not_before = 0.0  # another server may be there already
        sentence = f"whoever served the queue {self._queue} on this host is gone; call again"
        self._calls.fail_all(LostError(sentence))
