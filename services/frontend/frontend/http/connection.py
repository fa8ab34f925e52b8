"""Connection: one client's bytes become requests, answered in their order; the only importer of httptools."""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any, cast

import httptools
from typing_extensions import override

from frontend.http.door import Keeper
from frontend.http.message import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    LENGTH_TROUBLE,
    HttpRequest,
    RefusedError,
    encode_reply,
)

QUEUED_MAX = 64
"""Requests of one connection that wait for the one before them; more are not read yet."""

_FULL = "too many bytes of requests wait here already: try again later"
_BUG = b"Error: Internal Server Error"
_WITHOUT_BODY = ("GET", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE")
_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client. `state` is the door's own, for whatever it has to know of him."""

    loop: asyncio.AbstractEventLoop
    _transport: asyncio.Transport

    def __init__(self, keeper: Keeper) -> None:
        self.state: Any = None
        self._keeper = keeper
        self._parser: Any = httptools.HttpRequestParser(self)
        self._queue: deque[HttpRequest | RefusedError] = deque()
        self._busy = False  # a request is at the door
        self._held_bytes = self._busy_bytes = 0  # of bodies: all that are here, and of the one at the door
        self._pumping = False
        self._is_last = False  # nothing more is read: what is queued is answered, then it is over
        self._closing_since: float | None = None
        self._silent_since = 0.0
        self._is_paused = False  # the client does not read its answers
        self._is_throttled = False  # we do not read its requests
        self._answers_head = False
        self._began_at: float | None = None  # a request is coming in since then
        self._begin_message()
        self._in_head = False
        self._waiting_head_bytes = 0
        self._feed = self._overlap = b""  # what is being parsed, with the last bytes before it

    # the event loop's side

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, but not by its class
        self.loop = asyncio.get_running_loop()
        self._silent_since = self.loop.time()
        if not self._keeper.admit(self):
            limit = self._keeper.limits.connections_max
            words = f"{limit} clients are connected already: try again later"
            self._is_last = True
            self._transport.write(encode_reply(HTTPStatus.SERVICE_UNAVAILABLE, words.encode(), closes=True))
            self._transport.close()

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_last:
            return
        if self._in_head:
            self._waiting_head_bytes += len(data)
        self._feed = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_last = True  # a protocol that we do not speak: its first request is answered
        except httptools.HttpParserError as error:
            self._stop_parsing(error)
        if self._in_head:
            self._overlap = data[-len(_HEAD_END) + 1 :]
        elif self._overlap:
            self._overlap = b""
        if self._in_head and self._waiting_head_bytes > HEAD_BYTES_MAX:
            self._refuse(RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _too_large()))
        self._pump()

    @override
    def eof_received(self) -> bool:
        if self._is_last and self._closing_since is not None:
            return False
        self._is_last = True
        self._closing_since = self.loop.time()
        return self._keeper.limits.answers_after_end and (self._busy or bool(self._queue))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._is_last = True
        self._queue.clear()
        self._parser = None  # it refers to us
        goes_on = self._keeper.dismiss(self) and self._keeper.door.on_closed(self)
        self._busy = self._busy and goes_on
        self._let_go(self._held_bytes - (self._busy_bytes if self._busy else 0))

    @override
    def pause_writing(self) -> None:
        self._is_paused = True

    @override
    def resume_writing(self) -> None:
        self._is_paused = False
        self._pump()

    # the door's side

    def reply(self, status: int, body: bytes, more: bytes = b"") -> None:
        """Answer the request at hand, with `more` header lines; without one, nothing happens."""
        if not self._busy:
            return
        self._busy = False
        self._let_go(self._busy_bytes)
        if self._transport.is_closing():
            return
        ends = self._is_last and not self._queue
        answer = encode_reply(status, body, more, closes=ends)
        self._transport.write(answer[: len(answer) - len(body)] if self._answers_head else answer)
        self._silent_since = self.loop.time()
        if ends:
            self._transport.close()
        elif not self._pumping:
            self._pump()

    def abort(self) -> None:
        """Part from the client at once."""
        self._transport.abort()

    def on_time(self, now: float) -> None:
        """Let go of a client who keeps us waiting."""
        limits = self._keeper.limits
        if self._closing_since is not None:
            if now - self._closing_since > limits.linger_s:
                self._transport.abort()
        elif self._busy or self._queue:
            return
        elif self._began_at is not None and now - self._began_at > limits.request_s:
            words = f"the request did not come in within {limits.request_s:g} s"
            self._refuse(RefusedError(HTTPStatus.REQUEST_TIMEOUT, words))
            self._pump()
        elif (
            self._began_at is None and limits.idle_s is not None and now - self._silent_since > limits.idle_s
        ):
            self._transport.close()

    def _pump(self) -> None:
        """Hand the next request to the door, unless one is there."""
        self._pumping = True
        while self._queue and not self._busy and not self._is_paused:
            request = self._queue.popleft()
            if isinstance(request, RefusedError):
                self._turn_away(request)
                break
            self._busy, self._busy_bytes = True, len(request.body)
            self._answers_head = request.method == "HEAD"
            try:
                self._keeper.door.on_request(self, request)
            except Exception as error:  # noqa: BLE001  one request's bug must cost no other
                self._keeper.report(error)
                self.reply(HTTPStatus.INTERNAL_SERVER_ERROR, _BUG)
        self._pumping = False
        if self._is_throttled and len(self._queue) <= QUEUED_MAX:
            self._is_throttled = False
            self._transport.resume_reading()

    def _refuse(self, refusal: RefusedError) -> None:
        """Read no more; say why, when what came before is answered."""
        self._is_last = True
        self._queue.append(refusal)
        self._let_go(sum(len(part) for part in self._body))
        self._body.clear()

    def _let_go(self, size: int) -> None:
        """Some bytes of bodies are not here any more."""
        self._keeper.hold(-size)
        self._held_bytes -= size

    def _turn_away(self, refusal: RefusedError) -> None:
        """Say why, and listen for a while: who is cut off while he still sends does not hear it."""
        self._transport.write(encode_reply(refusal.status, refusal.words.encode(), closes=True))
        if self._closing_since is not None or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._closing_since = self.loop.time()
        self._transport.write_eof()

    # the parser's side

    def on_message_begin(self) -> None:
        """A request begins to come in."""
        self._begin_message()
        self._began_at = self.loop.time()
        self._in_head = True
        self._waiting_head_bytes = 0

    def on_url(self, part: bytes) -> None:
        """Some of the target."""
        self._url += part
        if len(self._url) > HEAD_BYTES_MAX:
            raise RefusedError(HTTPStatus.REQUEST_URI_TOO_LONG, _too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        name = name.lower()
        self._headers.append((name, value))
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX or len(self._headers) > HEADERS_MAX:
            raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _too_large())
        if name == b"content-length":
            self._has_length = True
            if int(value) > BODY_BYTES_MAX:
                raise RefusedError(HTTPStatus.BAD_REQUEST, LENGTH_TROUBLE)
        elif name == b"transfer-encoding":
            self._is_chunked = True
        elif name == b"expect":
            self._expects = True
        elif name == b"origin":
            words = "this door is not for web pages: a request with an origin is not taken"
            raise RefusedError(HTTPStatus.FORBIDDEN, words)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._method = self._parser.get_method().decode()
        needs_length = self._method not in _WITHOUT_BODY
        if self._method == "PUT":
            self._offer_stream()
        if (needs_length and not self._has_length) or self._is_chunked:
            raise RefusedError(HTTPStatus.BAD_REQUEST, LENGTH_TROUBLE)
        if self._expects and not (self._busy or self._queue):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """Some of the body."""
        if not self._keeper.hold(len(part)):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, _FULL)
        self._held_bytes += len(part)
        self._body.append(part)

    def on_message_complete(self) -> None:
        """A whole request is there."""
        self._began_at = None
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._queue.append(self._request(body))
        if not self._parser.should_keep_alive():
            self._is_last = True
        if len(self._queue) > QUEUED_MAX and not self._is_throttled:
            self._is_throttled = True
            self._transport.pause_reading()

    def _begin_message(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._has_length = self._is_chunked = self._expects = False
        self._method = ""

    def _offer_stream(self) -> None:
        taker = self._keeper.door.take_over(self._request(b""))
        if taker is None:
            return
        if self._busy or self._queue:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "a stream begins when all before it is answered")
        raise _TakenOverError(taker)

    def _stop_parsing(self, error: Exception) -> None:
        """What the parser could not go on with, or we did not want it to."""
        cause = error.__context__
        if isinstance(cause, _TakenOverError):
            fed = self._overlap + self._feed if self._overlap else self._feed.lstrip(b"\r\n")
            _, _, rest = fed.partition(_HEAD_END)
            self._transport.set_protocol(cause.taker)
            self.connection_lost(None)
            cause.taker.connection_made(self._transport)
            if rest:
                cause.taker.data_received(rest)
        else:
            self._refuse(cause if isinstance(cause, RefusedError) else _refusal(error))

    def _request(self, body: bytes) -> HttpRequest:
        target = self._url.decode("utf-8", "surrogateescape")
        return HttpRequest(self._method, target, tuple(self._headers), body)


class _TakenOverError(Exception):
    """The connection is no longer ours."""

    def __init__(self, taker: asyncio.Protocol) -> None:
        super().__init__("taken over")
        self.taker = taker


def _refusal(error: Exception) -> RefusedError:
    """What is said to bytes that are no request."""
    words = str(error)
    if "version" in words:
        return RefusedError(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here"
        )
    if "Content-Length" in words:
        return RefusedError(HTTPStatus.BAD_REQUEST, LENGTH_TROUBLE)
    return RefusedError(HTTPStatus.BAD_REQUEST, f"this is no HTTP request: {words}")


def _too_large() -> str:
    return f"a request's head may have {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} lines"
