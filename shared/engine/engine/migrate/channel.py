"""Channel: one connection between two hosts, with verdicts and images on it; blocking, a cancel ends it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from schema.fault import XenopsError, internal_error
from schema.migration import VERDICT_HEAD_BYTES, encode_failure, encode_success, message_length
from schema.objects.errors import InternalError
from typing_extensions import override

from engine.backend import Execution
from engine.image import ImageStream
from engine.migrate.carrying import carry
from engine.migrate.sockets import SocketWire
from engine.migrate.wire import Wire

SILENCE_S = 20 * 60.0
"""How long the other side may say nothing: as long as any of its steps may take."""

LAST_WORD_S = 0.5
"""How long a word may be under way that was said before a connection broke."""

LINGER_S = 5.0
_DRAINED_BYTES = 1 << 16

_HTTP = b"HTTP/"
_HTTP_BYTES_MAX = 4096


class ChannelLostError(XenopsError):
    """The other side is gone, or does not speak as it should: an `Internal_error` that says so."""


class Channel(ImageStream):
    """A connection; `what` names it in errors. One thread reads and writes it, any other may `shut` it."""

    def __init__(self, wire: Wire, what: str) -> None:
        wire.set_timeout(SILENCE_S)
        self.what = what
        self.wire = wire

    @override
    def write(self, data: bytes | memoryview) -> None:
        try:
            self.wire.send(data)
        except OSError as error:
            raise self.lost(str(error)) from error

    @override
    def read(self, size: int) -> bytes:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            try:
                count = self.wire.receive_into(view)
            except OSError as error:
                raise self.lost(str(error)) from error
            if count == 0:
                raise self.lost("the other side has closed it")
            view = view[count:]
        return bytes(content)

    @override
    def descriptor(self) -> int | None:
        return self.wire.descriptor()

    def carry(self, local: socket.socket) -> None:
        """See `Line`."""
        carry(self.wire, SocketWire(local))

    def read_some(self, size: int) -> bytes:
        """Up to so many bytes, at least one. Errors as of `read`."""
        try:
            content = self.wire.receive(size)
        except OSError as error:
            raise self.lost(str(error)) from error
        if not content:
            raise self.lost("the other side has closed it")
        return content

    def succeed(self) -> None:
        """Tell the other side that all is well."""
        self.write(encode_success())

    def fail(self, message: str) -> None:
        """Tell the other side why not; should it be gone already, nobody needs to know."""
        with suppress(XenopsError):
            self.write(encode_failure(message))

    def verdict(self) -> str | None:
        """What the other side says: None, all is well; else why not.

        Errors: `Internal_error` when it says nothing, or speaks HTTP: then it does not migrate.
        """
        head = self.read(VERDICT_HEAD_BYTES)
        if not _HTTP.startswith(head):
            length = message_length(head)
            return self.read(length).decode("utf-8", "surrogateescape") if length else None
        raise internal_error(f"{self.what}: the other side does not take it: {self._rest_of_answer(head)}")

    def closing_word(self) -> None:
        """Tell the other side that all is well, should it still listen: the original does not."""
        with suppress(XenopsError):
            self.succeed()

    def closing_verdict(self) -> str | None:
        """As `verdict`, of one who may close instead of saying that all is well, as the original does."""
        try:
            head = self.wire.peek(VERDICT_HEAD_BYTES)
        except ConnectionError:
            return None
        except OSError as error:
            raise self.lost(str(error)) from error
        return self.verdict() if head else None

    def has_something(self) -> bool:
        """Whether the other side has said something, or has gone."""
        return bool(self.wire.ready((), 0))

    def is_closed(self) -> bool:
        """Whether the other side has gone; one who has said something is there."""
        if not self.has_something():
            return False
        try:
            return not self.wire.peek(1)
        except OSError:
            return True

    def pending_verdict(self) -> str | None:
        """What the other side has said before all went wrong, if it has."""
        with suppress(XenopsError, OSError, ValueError):
            if self.wire.ready((), LAST_WORD_S):
                return self.verdict()
        return None

    def speaks_before(self, other: "Channel") -> bool:
        """Wait until one of both has something to say; answers whether it is this one alone."""
        return self.wire.ready((other.wire,), SILENCE_S) == [self.wire]

    def linger(self) -> None:
        """Say nothing more, and listen until the other side ends: else it may not hear what was said last."""
        with suppress(OSError):
            self._shut(socket.SHUT_WR)
            self.wire.set_timeout(LINGER_S)
            end = self.wire.clock.monotonic() + LINGER_S
            while self.wire.receive(_DRAINED_BYTES) and self.wire.clock.monotonic() < end:
                pass

    def hush(self) -> None:
        """Let whoever listens here listen no more; from any thread. One can still be told something."""
        self._shut(socket.SHUT_RD)

    def shut(self) -> None:
        """Let whoever waits here wait no more; from any thread."""
        self._shut(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection."""
        self.wire.close()

    def _rest_of_answer(self, head: bytes) -> str:
        """The first line of an HTTP answer."""
        answer = head
        with suppress(XenopsError):
            while b"\n" not in answer and len(answer) < _HTTP_BYTES_MAX:
                answer += self.read_some(1)
        return answer.decode(errors="replace").strip()

    def _shut(self, how: int) -> None:
        with suppress(OSError):
            self.wire.shut(how)

    def lost(self, reason: str) -> ChannelLostError:
        """The error of a channel that cannot be used any more."""
        return ChannelLostError(InternalError(message=f"{self.what}: the connection was lost: {reason}"))


@contextmanager
def interruptible(execution: Execution, end: Callable[[], None]) -> Iterator[None]:
    """While inside, a cancel calls `end`, a channel's `hush` or `shut`; that ends in `Cancelled`."""
    with execution.cancellable(end):
        try:
            yield
        except XenopsError:
            execution.check_cancelled()
            raise
