"""Channel: one connection between two hosts, with verdicts and images on it; blocking, a cancel ends it."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from schema.fault import XenopsError, internal_error
from schema.migration import VERDICT_HEAD_BYTES, encode_failure, encode_success, message_length
from schema.objects.errors import InternalError
from typing_extensions import override

from engine.backend import Execution
from engine.image import ImageStream

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

    def __init__(self, connection: socket.socket, what: str) -> None:
        connection.settimeout(SILENCE_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.what = what

    @override
    def write(self, data: bytes | memoryview) -> None:
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise self.lost(str(error)) from error

    @override
    def read(self, size: int) -> bytes:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            try:
                count = self.connection.recv_into(view)
            except OSError as error:
                raise self.lost(str(error)) from error
            if count == 0:
                raise self.lost("the other side has closed it")
            view = view[count:]
        return bytes(content)

    def read_some(self, size: int) -> bytes:
        """Up to so many bytes, at least one. Errors as of `read`."""
        try:
            content = self.connection.recv(size)
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
            head = self.connection.recv(VERDICT_HEAD_BYTES, socket.MSG_PEEK)
        except ConnectionError:
            return None
        except OSError as error:
            raise self.lost(str(error)) from error
        return self.verdict() if head else None

    def is_closed(self) -> bool:
        """Whether the other side has gone; one who has said something is there."""
        if not select.select([self.connection], [], [], 0)[0]:
            return False
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def pending_verdict(self) -> str | None:
        """What the other side has said before all went wrong, if it has."""
        with suppress(XenopsError, OSError, ValueError):
            if select.select([self.connection], [], [], LAST_WORD_S)[0]:
                return self.verdict()
        return None

    def speaks_before(self, other: "Channel") -> bool:
        """Wait until one of both has something to say; answers whether it is this one alone."""
        both = [self.connection, other.connection]
        ready = select.select(both, [], [], SILENCE_S)[0]
        return ready == [self.connection]

    def linger(self) -> None:
        """Say nothing more, and listen until the other side ends: else it may not hear what was said last."""
        with suppress(OSError):
            self._shut(socket.SHUT_WR)
            self.connection.settimeout(LINGER_S)
            end = time.monotonic() + LINGER_S
            while self.connection.recv(_DRAINED_BYTES) and time.monotonic() < end:
                pass

    def hush(self) -> None:
        """Let whoever listens here listen no more; from any thread. One can still be told something."""
        self._shut(socket.SHUT_RD)

    def shut(self) -> None:
        """Let whoever waits here wait no more; from any thread."""
        self._shut(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection."""
        with suppress(OSError):
            self.connection.close()

    def _rest_of_answer(self, head: bytes) -> str:
        """The first line of an HTTP answer."""
        answer = head
        with suppress(XenopsError):
            while b"\n" not in answer and len(answer) < _HTTP_BYTES_MAX:
                answer += self.read_some(1)
        return answer.decode(errors="replace").strip()

    def _shut(self, how: int) -> None:
        with suppress(OSError):
            socket.socket.shutdown(self.connection, how)  # past TLS, which is not for two threads

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
