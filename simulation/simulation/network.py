"""Network: connections between hosts: in order both ways, cut at times, ended by whoever dies.

Workers open them and wait for what is said; frontends serve them by their own HTTP, as on an event loop.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from engine.migrate.address import Endpoint
from engine.migrate.wire import Network, Wire
from typing_extensions import override

from simulation.life import Life, Wakeup
from simulation.link import LATENCY_S
from simulation.scheduler import Action

_set_running_loop: Callable[[Any], None] = asyncio._set_running_loop  # noqa: SLF001  for whoever makes a loop

Factory = Callable[[], asyncio.Protocol]
"""Makes whoever takes a connection."""


class Net:
    """All connections of a simulation, and the doors at which they are taken, by address."""

    def __init__(self) -> None:
        self.is_severed = False
        self._doors: dict[str, tuple[Life, Factory]] = {}
        self._open: list[End] = []

    def open(self, address: str, life: Life, factory: Factory) -> None:
        """From now on a process takes connections there, as long as it lives."""
        self._doors[address] = (life, factory)

    def sever(self) -> None:
        """All connections are lost, and nobody is reached until `join`."""
        self.is_severed = True
        lost, self._open = self._open, []
        for end in lost:
            end.lose()

    def join(self) -> None:
        """New connections can be made again."""
        self.is_severed = False

    def of(self, life: Life) -> "SimNetwork":
        """What a process makes connections by."""
        return SimNetwork(self, life)

    def connect(self, life: Life, address: str) -> "SimWire":
        """A connection of a process to whoever takes it there. Errors: `OSError`, nobody does."""
        door = self._doors.get(address)
        if self.is_severed or door is None or not door[0].alive:
            raise ConnectionRefusedError(111, "Connection refused")
        wire, transport = SimWire(life), SimTransport(door[0], door[1])
        wire.meet(transport)
        transport.meet(wire)
        self._open = [end for end in self._open if not end.is_over]
        self._open += (wire, transport)
        life.scheduler.after(life.random.random() * LATENCY_S, transport.begin)
        return wire


class SimNetwork(Network):
    """One process's way to other hosts."""

    def __init__(self, net: Net, life: Life) -> None:
        self._net = net
        self._life = life

    @override
    def connect(self, endpoint: Endpoint, *, verify: bool) -> Wire:
        self._life.step(LATENCY_S)
        return self._net.connect(self._life, str(endpoint))


class End:
    """One side of a connection. What it has said still arrives when it dies, and then that it is no more."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.is_over = False
        self._peer: End | None = None
        self._last = 0.0
        life.at_death(self.part)

    def meet(self, peer: "End") -> None:
        """Who is on the other side."""
        self._peer = peer

    def say(self, data: bytes) -> None:
        """Let the other side hear something, after all that was said before; nothing: the end."""
        if self._peer is not None:
            self._tell(partial(self._peer.hear, data))

    def part(self) -> None:
        """This side is no more: the other one hears what was said, its end, and can say nothing more."""
        if self._peer is not None and not self.is_over:
            self.is_over = True
            self.say(b"")
            self._tell(self._peer.be_left)

    def hear(self, data: bytes) -> None:
        """The other side has said something."""
        raise NotImplementedError

    def be_left(self) -> None:
        """The other side is no more."""
        raise NotImplementedError

    def lose(self) -> None:
        """The connection is lost, with all that is under way."""
        raise NotImplementedError

    def _tell(self, action: Action) -> None:
        scheduler = self.life.scheduler
        self._last = max(self._last, scheduler.now + self.life.random.random() * LATENCY_S)
        scheduler.at(self._last, action)


class SimWire(End, Wire):
    """The side of whoever waits."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self.clock = life.clock
        self._heard = bytearray()
        self._has_ended = False
        self._error: OSError | None = None
        self._is_left = False
        self._timeout_s = 60.0
        self.waiting: list[Wakeup] = []

    @override
    def send(self, data: bytes | memoryview) -> None:
        self.life.step(LATENCY_S)
        if self._error is not None:
            raise self._error
        if self._is_left or self.is_over:
            raise BrokenPipeError(32, "Broken pipe")
        self.say(bytes(data))

    @override
    def receive(self, size: int) -> bytes:
        found = self.peek(size)
        del self._heard[: len(found)]
        return found

    @override
    def receive_into(self, view: memoryview) -> int:
        found = self.receive(len(view))
        view[: len(found)] = found
        return len(found)

    @override
    def peek(self, size: int) -> bytes:
        if not self.ready((), self._timeout_s):
            raise TimeoutError("timed out")
        if self._error is not None:
            raise self._error
        return bytes(self._heard[:size])

    @override
    def ready(self, others: Sequence[Wire], within_s: float) -> list[Wire]:
        wires: list[SimWire] = [self, *(other for other in others if isinstance(other, SimWire))]
        end = self.clock.monotonic() + within_s
        while not (found := [wire for wire in wires if wire.has_news()]):
            left_s = end - self.clock.monotonic()
            if left_s <= 0:
                break
            wakeup = self.life.wakeup()
            for wire in wires:
                wire.waiting.append(wakeup)
            self.life.post(left_s, wakeup)
            self.life.sleep()
        return list(found)

    @override
    def set_timeout(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    @override
    def shut(self, how: int) -> None:
        if self._error is not None or self.is_over:
            raise OSError(107, "Transport endpoint is not connected")
        if how in (socket.SHUT_RD, socket.SHUT_RDWR):
            self._end()
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self.say(b"")

    @override
    def close(self) -> None:
        self.part()

    @override
    def hear(self, data: bytes) -> None:
        if data:
            self._heard += data
            self._wake()
        else:
            self._end()

    @override
    def be_left(self) -> None:
        self._is_left = True

    @override
    def lose(self) -> None:
        self.is_over = True
        self._error = ConnectionResetError(104, "Connection reset by peer")
        self._wake()

    def has_news(self) -> bool:
        """Whether there are bytes, or an end, to tell."""
        return bool(self._heard) or self._has_ended or self._error is not None

    def _end(self) -> None:
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for wakeup in waiting:
            self.life.post(0, wakeup)


class SimTransport(End, asyncio.Transport):
    """The side of a frontend: what is heard goes to a protocol, which runs in its process's hub."""

    def __init__(self, life: Life, factory: Factory) -> None:
        End.__init__(self, life)
        asyncio.Transport.__init__(self)
        self._factory = factory
        self._loop = SimLoop(life)
        self._protocol: asyncio.BaseProtocol | None = None
        self._heard: deque[bytes] = deque()
        self._reads = True
        self._has_ended = False

    def begin(self) -> None:
        """Let the process take the connection."""
        self._enter(self._make)

    def _make(self) -> None:
        self._protocol = self._factory()
        self._protocol.connection_made(self)
        self._drain()

    @override
    def hear(self, data: bytes) -> None:
        self._heard.append(data)
        self._enter(self._drain)

    @override
    def be_left(self) -> None:
        """Writing to one who is gone ends it, as reading does: see `_drain`."""

    @override
    def lose(self) -> None:
        self._heard.clear()
        self._over(ConnectionResetError(104, "Connection reset by peer"))

    def _drain(self) -> None:
        while self._heard and self._reads and not self.is_over and self._protocol is not None:
            data, protocol = self._heard.popleft(), self._protocol
            if not isinstance(protocol, asyncio.Protocol):
                raise TypeError(protocol)
            if data:
                protocol.data_received(data)
            elif not self._has_ended:
                self._has_ended = True
                if not protocol.eof_received():
                    self.close()

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.life.effect()
        if not self.is_over:
            self.say(bytes(data))

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def write_eof(self) -> None:
        if not self.is_over:
            self.say(b"")

    @override
    def close(self) -> None:
        self._over(None)

    @override
    def abort(self) -> None:
        self._over(None)

    @override
    def is_closing(self) -> bool:
        return self.is_over

    @override
    def pause_reading(self) -> None:
        self._reads = False

    @override
    def resume_reading(self) -> None:
        self._reads = True
        self._enter(self._drain)

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """What is said is under way at once."""

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def _over(self, error: Exception | None) -> None:
        if self.is_over:
            return
        self.part()
        self._enter(lambda: self._protocol.connection_lost(error) if self._protocol is not None else None)

    def _enter(self, action: Action) -> None:
        """Soon, so that no callback of a protocol comes within another."""
        self.life.post(0, partial(self._loop.run, action))


class SimLoop:
    """As much of an event loop as a protocol asks for."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def run(self, action: Action) -> None:
        """Do something as on this loop."""
        _set_running_loop(self)
        try:
            action()
        finally:
            _set_running_loop(None)

    def time(self) -> float:
        """Seconds since some moment."""
        return self._life.clock.monotonic()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> "Timer":
        """Do something after a while."""
        timer = Timer(partial(callback, *args))
        self._life.post(delay, partial(self.run, timer.ring))
        return timer


class Timer:
    """Something that is done after a while, unless it is cancelled before."""

    def __init__(self, action: Action) -> None:
        self._action: Action | None = action

    def cancel(self) -> None:
        """Do not."""
        self._action = None

    def ring(self) -> None:
        """It is time."""
        if self._action is not None:
            self._action()
