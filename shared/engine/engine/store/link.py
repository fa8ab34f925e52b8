"""Link: one connection to a xenstore daemon, by pyxs; its packets and exceptions stop here.

pyxs's own router would start a thread for each connection, and let those who wait for an answer wait for ever
once the daemon has died; here the thread that asks reads its answer itself, and knows at once, or after a
time. What the daemon tells unasked, that a watched node has changed, is kept until somebody wants it.
"""

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pyxs import Client, PyXSError  # type: ignore[import-untyped]
from pyxs._internal import Op, Packet, next_rq_id  # type: ignore[import-untyped]
from pyxs.connection import PacketConnection  # type: ignore[import-untyped]
from typing_extensions import override

T = TypeVar("T")

ANSWER_TIMEOUT_S = 10.0
"""The daemon answers within a millisecond; one that takes so long is stopped, or worse."""

_REQUEST_IDS = 1 << 32
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


class RefusedError(Exception):
    """The daemon said no; `number` is its errno, None: it said what makes no sense."""

    def __init__(self, number: int | None) -> None:
        super().__init__("nonsense" if number is None else os.strerror(number))
        self.number = number


class LostError(Exception):
    """The connection is of no use any more: the daemon has ended, or was started anew."""


class SilentError(Exception):
    """The daemon has not answered in time."""


class _Socket:
    """The connection's stream, with an end to its patience.

    The kernel's own timeouts: Python's would make the socket one that does not block, and its connecting fail
    whenever the daemon has two more to accept.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        patience = struct.pack("@ll", int(ANSWER_TIMEOUT_S), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        with _translated():
            self._socket.sendall(message)

    def recv(self, size: int) -> bytes:
        chunks: list[bytes] = []
        while size:
            with _translated():
                chunks.append(self._socket.recv(size))
            if not chunks[-1]:
                raise LostError
            size -= len(chunks[-1])
        return b"".join(chunks)

    def close(self) -> None:
        self._socket.close()


class _Connection(PacketConnection):  # type: ignore[misc]
    """Packets on that stream, each sent at once: the daemon would wake up for a header alone."""

    def __init__(self, path: str) -> None:
        self.path = path

    def create_transport(self) -> _Socket:
        return _Socket(self.path)

    @override
    def send(self, packet: Any) -> None:
        head = struct.pack("=IIII", packet.op, packet.rq_id % _REQUEST_IDS, packet.tx_id, packet.size)
        self.transport.send(head + packet.payload)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What pyxs's client waits for; it is there already."""

    packet: Any

    def get(self) -> Any:
        """The packet."""
        return self.packet


class _Router:
    """The part of pyxs that brings answers to who asked: here there is one at a time."""

    def __init__(self, path: str) -> None:
        self.connection = _Connection(path)
        self.events: deque[tuple[str, str]] = deque()

    def start(self) -> None:
        self.connection.connect()

    def terminate(self) -> None:
        self.connection.close()

    def send(self, packet: Any) -> _Answer:
        self.connection.send(packet)
        while (answer := self.connection.recv()).op == Op.WATCH_EVENT:
            self.hear(answer)
        if answer.rq_id != packet.rq_id % _REQUEST_IDS:
            raise LostError
        return _Answer(answer)

    def hear(self, event: Any) -> None:
        """Keep what was told unasked: the node, and the word given with the watch."""
        path, token = event.payload.split(b"\0")[:2]
        self.events.append((path.decode(errors="replace"), token.decode(errors="replace")))


class Link:
    """One connection, used by one thread at a time; in a transaction between `begin` and `commit`.

    Errors: `RefusedError`, `LostError`, `SilentError`; connecting: OSError.
    """

    def __init__(self, path: str) -> None:
        self._router = _Router(path)
        self._client = Client(router=self._router)
        self._client.connect()

    def fileno(self) -> int:
        """What to wait for: readable, when the daemon has told something."""
        return int(self._router.connection.transport.fileno())

    def read(self, path: str) -> bytes | None:
        """A node's value; None where there is no such node."""
        with _absent(), _refused():
            return bytes(self._client.read(path.encode()))
        return None

    def names(self, path: str) -> list[str] | None:
        """The names in a directory; None where there is no such node."""
        with _absent(), _refused():
            return [name.decode() for name in self._client.list(path.encode())]
        return None

    def write(self, path: str, value: bytes) -> None:
        """Any value, an empty one, too, which pyxs would not take."""
        self._ask(Op.WRITE, path.encode() + b"\0" + value)

    def make(self, path: str) -> None:
        """Make an empty node; it is there, nothing to do."""
        with _refused():
            self._client.mkdir(path.encode())

    def remove(self, path: str) -> None:
        """Remove a node, whose parent exists, with all that is below it."""
        with _refused():
            self._client.delete(path.encode())

    def set_permissions(self, path: str, permissions: Sequence[str]) -> None:
        """Who may read and write a node: its owner first, as `n5`, then others, as `r0`."""
        with _refused():
            self._client.set_perms(path.encode(), [word.encode() for word in permissions])

    def introduce(self, domid: int, frame: int, port: int) -> None:
        """Tell the daemon of a domain and of its ring."""
        with _refused():
            self._client.introduce_domain(domid, frame, port)

    def release(self, domid: int) -> None:
        """Tell the daemon that a domain is no more."""
        self._ask(Op.RELEASE, b"%d\0" % domid)

    def resume(self, domid: int) -> None:
        """Tell the daemon that a domain goes on that had suspended itself."""
        self._ask(Op.RESUME, b"%d\0" % domid)

    def watch(self, path: str, token: str) -> None:
        """From now on tell of changes of a node and below; once at once, too."""
        self._ask(Op.WATCH, path.encode() + b"\0" + token.encode() + b"\0")

    def unwatch(self, path: str, token: str) -> None:
        """Tell no more of it; what was told stays."""
        self._ask(Op.UNWATCH, path.encode() + b"\0" + token.encode() + b"\0")

    def heard(self) -> tuple[str, str] | None:
        """A change that was told, oldest first, with its watch's word; None: no other."""
        return self._router.events.popleft() if self._router.events else None

    def listen(self) -> None:
        """Take in what the daemon has told; waits for it if there is nothing yet."""
        packet = self._router.connection.recv()
        if packet.op != Op.WATCH_EVENT:
            raise LostError
        self._router.hear(packet)

    def transact(self, act: "Callable[[Link], T]") -> tuple[bool, T]:
        """Do something in a transaction; answers whether it counts."""
        with _refused():
            self._client.transaction()
        try:
            done = act(self)
        except (LostError, SilentError):
            raise
        except BaseException:
            with suppress(PyXSError):
                self._client.rollback()
            raise
        with _refused():
            return bool(self._client.commit()), done

    @property
    def is_free(self) -> bool:
        """Whether it may be used again: no transaction is open."""
        return not self._client.tx_id

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _ask(self, operation: int, payload: bytes) -> None:
        request = Packet(operation, payload, rq_id=next_rq_id(), tx_id=self._client.tx_id)
        answer = self._router.send(request).get()
        if answer.op == Op.ERROR:
            raise RefusedError(errno_of(answer.payload[:-1].decode(errors="replace")))


def errno_of(word: str) -> int | None:
    """The number of an error's name, as `ENOENT`."""
    number = getattr(errno, word, None)
    return number if isinstance(number, int) else None


@contextmanager
def _absent() -> Iterator[None]:
    """Pass over the daemon's word that there is no such node."""
    try:
        yield
    except RefusedError as error:
        if error.number not in _ABSENT:
            raise


@contextmanager
def _refused() -> Iterator[None]:
    """Give the error of pyxs as ours."""
    try:
        yield
    except PyXSError as error:
        number = error.args[0] if error.args else None
        raise RefusedError(number if isinstance(number, int) else None) from error


@contextmanager
def _translated() -> Iterator[None]:
    """The socket's errors in the two kinds that matter."""
    try:
        yield
    except BlockingIOError as error:
        raise SilentError from error
    except OSError as error:
        raise LostError from error
