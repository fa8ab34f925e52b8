"""Doors: how an awaitable call reaches services, by a bus or by a socket; no thread waits for an answer."""

import asyncio
import http.client
import io
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol, runtime_checkable
from urllib.parse import quote

from bus.ports import Bus, BusError, BusUnavailableError, Request, RequestTimeoutError
from schema.ids import InstanceName
from typing_extensions import override

from xenops.unix import SCHEME, unanswered

GRACE_S = 5.0
"""How much longer than it should a bus may take to say that nobody has answered."""


class AsyncDoor(Protocol):
    """How an awaitable client reaches services."""

    async def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        """Send a request and await its answer; see `bus.ports.Bus.call` for the errors."""

    def close(self) -> None:
        """Let go of it; may take a moment."""


@runtime_checkable
class AsyncKnowing(Protocol):
    """A door that can tell which instances there are, as a bus can."""

    async def knows(self, instance: InstanceName) -> bool:
        """Whether there is such an instance, or may be; see `bus.ports.Bus`."""


class AsyncBusDoor:
    """By a bus, whose own thread tells the caller's event loop; any number of calls may wait."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._is_closed = False

    async def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        """See `AsyncDoor`. A call that is cancelled may have been served all the same."""
        if self._is_closed:
            raise BusUnavailableError(f"call to the queue {queue} on a bus that is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | BusError] = loop.create_future()

        def tell(outcome: bytes | BusError) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody awaits anything there any more
                loop.call_soon_threadsafe(_settle, answer, outcome)

        self._bus.ask(queue, Request(body), timeout_s, tell)
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                outcome = await answer
        except TimeoutError:
            sentence = (
                f"no answer from the queue {queue} within {timeout_s:g} s: was the bus closed meanwhile?"
            )
            raise RequestTimeoutError(sentence) from None
        if isinstance(outcome, BusError):
            raise outcome
        return outcome

    async def knows(self, instance: InstanceName) -> bool:
        """See `AsyncKnowing`."""
        return await asyncio.to_thread(self._bus.knows, instance)

    def close(self) -> None:
        """Close the bus."""
        self._is_closed = True
        self._bus.close()


def _settle(answer: "asyncio.Future[bytes | BusError]", outcome: bytes | BusError) -> None:
    if not answer.done():
        answer.set_result(outcome)


class AsyncUnixDoor:
    """By JSON-RPC over HTTP on a Unix socket, `POST /<instance>`; a connection for each call."""

    def __init__(self, url: str) -> None:
        self._path = url.removeprefix(SCHEME)

    async def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        """See `AsyncDoor`. A call that is cancelled may have been served all the same."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._exchange(queue, body)
        except TimeoutError as error:
            raise RequestTimeoutError(f"no answer from {self._path} within {timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise unanswered(self._path, error) from error
        answer = response.read()
        if response.status != HTTPStatus.OK:
            raise BusUnavailableError(f"{self._path}: {answer.decode(errors='replace')}")
        return answer

    async def _exchange(self, queue: str, body: bytes) -> http.client.HTTPResponse:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            head = f"POST /{quote(queue)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            with suppress(ConnectionError):  # who refuses a request early says why, and is heard below
                await writer.drain()
            response = http.client.HTTPResponse(_Received(await reader.read()))  # type: ignore[arg-type]
        finally:
            writer.close()
        response.begin()
        return response

    def close(self) -> None:
        """Nothing is kept open."""


class _Received(io.BytesIO):
    """An answer that is there as a whole, where `http.client` takes a socket."""

    def makefile(self, *_arguments: Any) -> "_Received":
        return self

    @override
    def close(self) -> None:
        """What is left of it is still to be read."""
