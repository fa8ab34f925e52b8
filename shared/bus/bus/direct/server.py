"""Server: connections from this host's other services to the queues that we serve."""

import itertools
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bus.direct.address import is_trusted, listen
from bus.direct.frames import Frame, FrameError, Kind, encode
from bus.direct.pipe import Pipe
from bus.loop import Loop
from bus.ports import Request

PREFIX = "xenops-direct."
"""How the reply address of a client's question begins; no queue is called so."""

_PONG = encode(Kind.PONG, Request(b""))

OnRequest = Callable[[Request], None]


@dataclass(slots=True)
class DirectServer:
    """All clients of one bus; on the loop's thread, but for `answer`."""

    loop: Loop
    broker: str
    _pipes: dict[str, Pipe] = field(default_factory=dict)
    _listeners: list[socket.socket] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _prefix: str = field(default_factory=lambda: f"{PREFIX}{uuid.uuid4().hex}.")

    def serve(self, queue: str, on_request: OnRequest) -> None:
        """Take a queue's requests from other processes of this host, too."""
        listener = listen(self.broker, queue)
        if listener is not None:
            self._listeners.append(listener)
            self.loop.asyncio.add_reader(listener.fileno(), self._accept, listener, on_request)

    def answer(self, reply_to: str, answer: Request) -> bool:
        """Answer a client's question, from any thread; says whether this reply address is one's at all."""
        if not reply_to.startswith(PREFIX):
            return False
        pipe = self._pipes.get(reply_to)
        if pipe is not None:  # else whoever asked has left
            try:
                pipe.send(encode(Kind.ANSWER, answer))
            except FrameError:
                self.loop.soon(pipe.close)
        return True

    def close(self) -> None:
        """Part from all."""
        for listener in self._listeners:
            self.loop.asyncio.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        for pipe in list(self._pipes.values()):
            pipe.close()

    def _accept(self, listener: socket.socket, on_request: OnRequest) -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            return  # it has left again
        if not is_trusted(connected):
            connected.close()
            return
        name = f"{self._prefix}{next(self._numbers)}"

        def on_frame(frame: Frame) -> None:
            request = frame.request
            if frame.kind is Kind.REQUEST:
                on_request(request)
            elif frame.kind is Kind.QUESTION:
                on_request(replace(request, reply_to=name))
            elif frame.kind is Kind.PING:
                self._pipes[name].send(_PONG)

        self._pipes[name] = Pipe(self.loop, connected, on_frame, lambda: self._forget(name))

    def _forget(self, name: str) -> None:
        self._pipes.pop(name, None)
