"""Xenstored: a real daemon's socket as a door, by pyxs; its exceptions stop here.

Every request takes a connection of its own from a pool, so that no thread waits for another's answer. pyxs's
own router would start a thread for each connection, and let those who wait for an answer wait for ever once
the daemon has died; here the thread that asks reads its answer itself, and knows at once, or after a time.
"""

import errno
import os
import random
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pyxs import Client, PyXSError  # type: ignore[import-untyped]
from pyxs.connection import PacketConnection  # type: ignore[import-untyped]
from typing_extensions import override

from engine.store.door import Transaction, XenstoreError

T = TypeVar("T")

CONNECTIONS_MAX = 32
"""Connections at a time: the daemon answers one request after the other, whatever their number."""

ANSWER_TIMEOUT_S = 10.0
"""The daemon answers within a millisecond; one that takes so long is stopped, or worse."""

CONFLICTS_MAX = 200
"""How often a transaction is begun again; somebody's succeeds each time."""

_BACKOFF_S_MAX = 0.02
_REQUEST_IDS = 1 << 32
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


class _LostError(Exception):
    """The connection is of no use any more: the daemon has ended, or was started anew."""


class _SilentError(Exception):
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
                raise _LostError
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

    def start(self) -> None:
        self.connection.connect()

    def terminate(self) -> None:
        self.connection.close()

    def send(self, packet: Any) -> _Answer:
        self.connection.send(packet)
        answer = self.connection.recv()
        if answer.rq_id != packet.rq_id % _REQUEST_IDS:
            raise _LostError
        return _Answer(answer)


class _Link:
    """One connection, used by one thread at a time; in a transaction between `begin` and `commit`."""

    def __init__(self, path: str) -> None:
        self._client = Client(router=_Router(path))
        self._client.connect()

    def read(self, path: str) -> bytes | None:
        with _absent():
            return bytes(self._client.read(path.encode()))
        return None

    def names(self, path: str) -> list[str] | None:
        with _absent():
            return [name.decode() for name in self._client.list(path.encode())]
        return None

    def write(self, path: str, value: bytes) -> None:
        self._client.write(path.encode(), value)

    def remove(self, path: str) -> None:
        self._client.delete(path.encode())

    def transact(self, act: Callable[[Transaction], T]) -> tuple[bool, T]:
        """Do something in a transaction; answers whether it counts."""
        self._client.transaction()
        try:
            done = act(self)
        except (_LostError, _SilentError):
            raise
        except BaseException:
            with suppress(PyXSError):
                self._client.rollback()
            raise
        return bool(self._client.commit()), done

    @property
    def is_free(self) -> bool:
        """Whether it may be used again: no transaction is open."""
        return not self._client.tx_id

    def close(self) -> None:
        self._client.close()


class Xenstored:
    """A daemon behind a Unix socket, as a `Xenstore`. Connections are made when they are needed."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: list[_Link] = []
        self._places = threading.Semaphore(CONNECTIONS_MAX)
        weakref.finalize(self, _close_all, self._idle)

    def read(self, path: str) -> bytes | None:
        """A node's value."""
        return self._on_a_link(lambda link: link.read(path))

    def names(self, path: str) -> list[str] | None:
        """The names in a directory."""
        return self._on_a_link(lambda link: link.names(path))

    def within(self, act: Callable[[Transaction], T]) -> T:
        """Do something in a transaction."""
        for attempt in range(CONFLICTS_MAX):
            counts, done = self._on_a_link(lambda link: link.transact(act))
            if counts:
                return done
            time.sleep(random.uniform(0.0, min(attempt / 1e3, _BACKOFF_S_MAX)))  # noqa: S311  no secret
        raise XenstoreError(f"others changed the same nodes {CONFLICTS_MAX} times meanwhile; try again")

    def close(self) -> None:
        """Let go of all connections that nobody uses."""
        _close_all(self._idle)

    def _on_a_link(self, act: Callable[[_Link], T]) -> T:
        """Ask on a connection; one that the daemon has left behind is replaced, once."""
        with self._places:
            try:
                link = self._idle.pop()
            except IndexError:
                return self._on_a_new_link(act)
            try:
                return self._use(link, act)
            except _LostError:
                self.close()
                return self._on_a_new_link(act)

    def _on_a_new_link(self, act: Callable[[_Link], T]) -> T:
        try:
            link = _Link(self._path)
        except OSError as error:
            sentence = f"xenstored does not answer at {self._path} ({error.strerror or error})"
            raise XenstoreError(f"{sentence}; see that it runs, then try again") from error
        try:
            return self._use(link, act)
        except _LostError as error:
            raise XenstoreError(
                f"xenstored at {self._path} hung up; see that it runs, then try again"
            ) from error

    def _use(self, link: _Link, act: Callable[[_Link], T]) -> T:
        """Ask on a connection, and keep it for the next one unless it is spoilt."""
        try:
            done = act(link)
        except PyXSError as error:
            number = error.args[0] if error.args else None
            if isinstance(number, int):
                self._keep(link)
                raise XenstoreError(_refusal(number)) from error
            link.close()
            sentence = f"xenstored at {self._path} answers what it should not: {type(error).__name__}"
            raise XenstoreError(f"{sentence}; see what listens there, then try again") from error
        except _SilentError as error:
            link.close()
            raise XenstoreError(
                f"xenstored at {self._path} does not answer within {ANSWER_TIMEOUT_S:g} s; "
                "whether it did what was asked is unknown: see to it, then try again"
            ) from error
        except _LostError:
            link.close()
            raise
        except BaseException:
            self._keep(link)
            raise
        self._keep(link)
        return done

    def _keep(self, link: _Link) -> None:
        if link.is_free:
            self._idle.append(link)
        else:
            link.close()


def _close_all(links: list[_Link]) -> None:
    while links:
        with suppress(IndexError):  # another thread has taken the last one
            links.pop().close()


def _refusal(number: int) -> str:
    """What the daemon's error means."""
    known = {
        errno.E2BIG: "too much for one node, or too many nodes below one, by xenstored's quota",
        errno.ENOSPC: "xenstored's quota of nodes, or its memory, is used up; remove what is not needed",
        errno.EDQUOT: "xenstored's quota is used up; raise it, or remove what is not needed",
        errno.EACCES: "xenstored forbids it; run as root in the control domain",
        errno.EINVAL: "xenstored takes no such path; make XENOPS_XENSTORE_PATH shorter",
    }
    return f"{known.get(number, 'xenstored refuses it')} ({os.strerror(number)})"


@contextmanager
def _absent() -> Iterator[None]:
    """Pass over the daemon's word that there is no such node."""
    try:
        yield
    except PyXSError as error:
        if not error.args or error.args[0] not in _ABSENT:
            raise


@contextmanager
def _translated() -> Iterator[None]:
    """The socket's errors in the two kinds that matter."""
    try:
        yield
    except BlockingIOError as error:
        raise _SilentError from error
    except OSError as error:
        raise _LostError from error
