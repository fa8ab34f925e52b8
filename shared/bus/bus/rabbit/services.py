"""Services: what pika wants of an event loop, given by asyncio's own streams, which uvloop makes fast.

pika's adapter for asyncio watches file descriptors and reads and writes sockets itself, in Python; this one
hands both to the loop: a third less of CPU for a round trip. The interface is pika's between its parts, not a
promise to us: the lock pins the version, and the bus's tests run against a real broker.
"""

import asyncio
import socket
import ssl
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, cast

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.utils.nbio_interface import (
    AbstractIOReference,
    AbstractIOServices,
    AbstractStreamProtocol,
    AbstractStreamTransport,
    AbstractTimerReference,
)
from typing_extensions import override

from bus.rabbit.constants import CONNECT_TIMEOUT_S
from bus.rabbit.deliveries import Delivery, delivery_at, frame_end
from bus.rabbit.resolve import addresses_of

Done = Callable[[Any], None]


class StreamConnection(AsyncioConnection):
    """pika's connection, whose messages go out, and mostly come in, as one piece instead of three frames.

    The methods overridden are not pika's public interface: where a later pika has them no more, frames go
    out and come in one by one, as without this class.
    """

    bytes_received: int
    frames_received: int
    _channels: dict[int, Any]
    _frame_buffer: bytes

    def _output_marshaled_frames(self, marshaled_frames: list[bytes]) -> None:
        super()._output_marshaled_frames([b"".join(marshaled_frames)])  # type: ignore[misc]  # unknown to its stubs

    def _on_data_available(self, data_in: bytes) -> None:
        """Whole messages go to their channels at once; all else, and what is not whole yet, is pika's."""
        if not self.is_open:
            super()._on_data_available(data_in)  # type: ignore[misc]  # as above
            return
        data = self._frame_buffer + data_in if self._frame_buffer else data_in
        self._frame_buffer = b""
        place = 0
        try:
            while place < len(data):
                delivery = delivery_at(data, place)
                end = frame_end(data, place) if delivery is None else delivery.end
                if end is None:
                    break
                begin, place = place, end
                if delivery is None:
                    super()._on_data_available(data[begin:end])  # type: ignore[misc]  # as above
                else:
                    self._take(delivery, end - begin)
        finally:
            self._frame_buffer = data[place:]

    def _take(self, delivery: Delivery, size: int) -> None:
        self.bytes_received += size  # a connection that receives nothing counts as dead
        self.frames_received += 3 if delivery.body else 2
        channel = self._channels.get(delivery.method.channel_number)
        if channel is not None:
            channel._on_deliver(delivery.method, delivery.header, delivery.body)  # noqa: SLF001  as above


class LoopServices(AbstractIOServices):
    """pika's door to an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()

    def break_off(self) -> None:
        """Cut all connections, as a broker that dies does."""
        for stream in list(self._streams):
            stream.cut()

    @override
    def get_native_ioloop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @override
    def close(self) -> None:
        """The loop is the bus's to close, to run and to stop."""

    @override
    def run(self) -> None:
        """See `close`."""

    @override
    def stop(self) -> None:
        """See `close`."""

    @override
    def add_callback_threadsafe(self, callback: Callable[..., None]) -> None:
        self._loop.call_soon_threadsafe(callback)

    @override
    def call_later(self, delay: float, callback: Callable[..., None]) -> AbstractTimerReference:
        return _Timer(self._loop.call_later(delay, callback))

    @override
    def getaddrinfo(
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        on_done: Done,
        family: int = 0,
        socktype: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> AbstractIOReference:
        def lookup() -> list[Any]:
            return socket.getaddrinfo(host, port, family, socktype, proto, flags)

        async def resolve() -> list[Any]:
            try:
                return await addresses_of(lookup, CONNECT_TIMEOUT_S)
            except TimeoutError as error:  # a name service that is silent is so for longer than clients wait
                told = f"nobody says within {CONNECT_TIMEOUT_S:g} s which address {host!r} has"
                raise socket.gaierror(socket.EAI_AGAIN, told) from error

        return self._begin(resolve(), on_done)

    @override
    def connect_socket(
        self, sock: socket.socket, resolved_addr: tuple[str, int], on_done: Done
    ) -> AbstractIOReference:
        return self._begin(self._loop.sock_connect(sock, resolved_addr), on_done)

    @override
    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], AbstractStreamProtocol],
        sock: socket.socket,
        on_done: Done,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        async def create() -> tuple[AbstractStreamTransport, AbstractStreamProtocol]:
            stream = _Stream(protocol_factory(), self._streams.discard)
            self._streams.add(stream)
            await self._loop.create_connection(
                lambda: stream, sock=sock, ssl=ssl_context, server_hostname=server_hostname
            )
            return stream, stream.get_protocol()

        return self._begin(create(), on_done)

    def _begin(self, work: Coroutine[Any, Any, Any], on_done: Done) -> AbstractIOReference:
        def ended(task: "asyncio.Task[Any]") -> None:
            if not task.cancelled():
                on_done(task.exception() or task.result())

        task = self._loop.create_task(work)
        task.add_done_callback(ended)
        return _Work(task)


class _Timer(AbstractTimerReference):
    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self._timer = timer

    @override
    def cancel(self) -> None:
        self._timer.cancel()


class _Work(AbstractIOReference):
    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task

    @override
    def cancel(self) -> bool:
        return self._task.cancel()


class _Stream(AbstractStreamTransport, asyncio.Protocol):
    """A transport to pika, a protocol to asyncio."""

    _transport: asyncio.Transport

    def __init__(self, protocol: AbstractStreamProtocol, on_lost: "Callable[[_Stream], None]") -> None:
        self._protocol = protocol
        self._on_lost = on_lost
        self._cut: ConnectionAbortedError | None = None

    def cut(self) -> None:
        """Abort, for a reason of ours: pika wants to be told one where it has none itself."""
        self._cut = ConnectionAbortedError("the bus is being closed")
        self.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._protocol.connection_made(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self)
        self._protocol.connection_lost(exc or self._cut)

    @override
    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    @override
    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    @override
    def abort(self) -> None:
        self._transport.abort()

    @override
    def get_protocol(self) -> AbstractStreamProtocol:
        return self._protocol

    @override
    def write(self, data: bytes) -> None:
        self._transport.write(data)

    @override
    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()
