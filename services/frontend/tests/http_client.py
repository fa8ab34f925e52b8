"""A server of HTTP on a loop of its own, and a client that writes and reads bytes."""

import asyncio
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import uvloop
from frontend.http.door import Client, Door
from frontend.http.message import HttpRequest, Limits
from frontend.http.server import HttpServer
from typing_extensions import override

PATIENCE_S = 120.0


class Echo:
    """A door that answers each request by its body, but for some targets."""

    def __init__(self) -> None:
        self.held: list[Client] = []
        self.closed = 0
        self.goes_on = False  # whether a request outlives its connection

    def on_request(self, connection: Client, request: HttpRequest) -> None:
        match request.target:
            case "/bug":
                raise ZeroDivisionError(request.target)
            case "/hold":
                self.held.append(connection)
            case "/echo" | "/%65cho":
                connection.reply(200, request.body)
            case _:
                connection.reply(404, request.target.encode(), b"user-agent: echo\r\n")

    def on_closed(self, _connection: Client) -> bool:
        self.closed += 1
        return self.goes_on

    def take_over(self, request: HttpRequest) -> asyncio.Protocol | None:
        return Upper() if request.header(b"cookie") == b"a=b" else None


class Upper(asyncio.Protocol):
    """A stream that comes back in large letters."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")

    @override
    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


class Served:
    """A door that is open."""

    def __init__(self, door: Door, path: Path, limits: Limits) -> None:
        self.path = path
        self.server = HttpServer(door, limits)
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._listener = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(PATIENCE_S)

    async def _listen(self) -> asyncio.AbstractServer:
        return await self.loop.create_unix_server(self.server.factory, str(self.path), backlog=1024)

    def on_loop(self, action: Callable[[], None]) -> None:
        """Do something on the loop's thread, and wait for it."""
        done: Future[None] = Future()

        def act() -> None:
            action()
            done.set_result(None)

        self.loop.call_soon_threadsafe(act)
        done.result(PATIENCE_S)

    def close(self) -> None:
        self.on_loop(self._listener.close)
        self.on_loop(self.server.close)
        self.on_loop(lambda: None)  # connections end in the round after
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


@contextmanager
def served(door: Door, limits: Limits) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as directory:
        open_door = Served(door, Path(directory) / "door", limits)
        try:
            yield open_door
        finally:
            open_door.close()


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    connection.connect(str(path))
    return connection


def response(connection: socket.socket, method: str = "POST") -> tuple[int, bytes]:
    """The next answer, and not a byte of what follows it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += received(connection, 1)
    (length,) = re.findall(rb"content-length: (\d+)\r\n", head)
    return int(head.split()[1]), b"" if method == "HEAD" else received(connection, int(length))


def received(connection: socket.socket, count: int) -> bytes:
    """So many bytes."""
    parts = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        assert part, "the connection ended within an answer"
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def ask(path: Path, request: bytes) -> tuple[int, bytes]:
    with connected(path) as connection:
        connection.sendall(request)
        return response(connection)


def post(body: bytes, target: str = "/echo") -> bytes:
    return f"POST {target} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)
