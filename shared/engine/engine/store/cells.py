"""Cells: files that hold one value each, replaced whole, and read through a cache that every read validates.

A value is written beside its file and renamed over it: a reader, in this process or another, sees the old
value or the new one, and a full disk leaves the old one. Nothing is synced to the medium: the tree is
emptied by a reboot anyway, and a process that dies loses nothing that was renamed.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from schema.wire.codec import MarshalError, decode_text, encode_text
from schema.wire.errors import JsonError

from engine.swap import take_place

T = TypeVar("T")

_CACHED_MAX = 20_000
"""Values kept in memory, about 5 kB each; reached, the cache starts anew."""


class DamagedError(Exception):
    """A file holds no such value; the text says why."""


@dataclass(frozen=True, slots=True)
class Encoding(Generic[T]):
    """How a value becomes the text of a file and back; `decode` raises `DamagedError`."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def wire_encoding(type_: type[T]) -> Encoding[T]:
    """The rpclib JSON of the original; strings that are not UTF-8 keep their bytes."""

    def decode(text: bytes) -> Any:
        try:
            return decode_text(type_, text.decode("utf-8", "surrogateescape"))
        except (JsonError, MarshalError, ValueError) as error:
            raise DamagedError(str(error)) from error

    return Encoding(
        encode=lambda value: encode_text(type_, value).encode("utf-8", "surrogateescape"), decode=decode
    )


class MakeCells(Protocol):
    """Makes the cells of a store or a journal; a simulation has some whose disk is full."""

    def __call__(self, encoding: Encoding[T], /) -> "Cells[T]":
        """Cells for values of one type."""


_Stamp = tuple[int, int, int]
"""A version of a file: inode, size, time of modification in nanoseconds."""


class Cells(Generic[T]):
    """Values of one type, by path."""

    def __init__(self, encoding: Encoding[T]) -> None:
        self._encoding = encoding
        self._cache: dict[str, tuple[_Stamp, T]] = {}

    def read(self, path: str) -> T | None:
        """The value at `path`, None where there is no file.

        Raises:
            DamagedError: the file holds no such value.
            OSError: the file cannot be read.
        """
        try:
            stamp = _stamp(os.stat(path))  # noqa: PTH116  a Path costs more than the call
            cached = self._cache.get(path)
            if cached is not None and cached[0] == stamp:
                return cached[1]
            return self._load(path)
        except (FileNotFoundError, NotADirectoryError):
            self._cache.pop(path, None)
            return None

    def write(self, path: str, value: T) -> None:
        """Replace the value at `path`, whose directory exists; one that is there already is left alone.

        Raises:
            OSError: it cannot be written; the value before is intact.
        """
        if self._holds(path, value):
            return
        folder, _, name = path.rpartition("/")
        draft = f"{folder}/.{name}.{os.getpid()}.{threading.get_ident()}"
        try:
            stamp = _write_stamped(draft, self._encoding.encode(value))
            self._put(draft, path)
        except OSError:
            _unlink_if_there(draft)
            raise
        self._remember(path, stamp, value)

    def remove(self, path: str) -> bool:
        """Remove the file; answers whether there was one."""
        self._cache.pop(path, None)
        return _unlink_if_there(path)

    def forget(self, path: str) -> None:
        """The file went with its directory: nobody will ask for what is remembered of it."""
        self._cache.pop(path, None)

    @staticmethod
    def _put(draft: str, path: str) -> None:
        """Let a draft be the file."""
        os.rename(draft, path)  # noqa: PTH104  a Path costs more than the call

    def _holds(self, path: str, value: T) -> bool:
        """Whether the file holds this value: clients push what they know again and again."""
        cached = self._cache.get(path)
        if cached is None or cached[1] != value:
            return False
        try:
            return cached[0] == _stamp(os.stat(path))  # noqa: PTH116  a Path costs more than the call
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _load(self, path: str) -> T:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  a Path costs more than the call
            stamp = _stamp(os.fstat(file.fileno()))
            text = file.read()
        value = self._encoding.decode(text)
        self._remember(path, stamp, value)
        return value

    def _remember(self, path: str, stamp: _Stamp, value: T) -> None:
        if len(self._cache) >= _CACHED_MAX:
            self._cache.clear()
        self._cache[path] = (stamp, value)


class PassingCells(Cells[T]):
    """The same of values that serve nobody after a power failure, which may damage them: that is cheaper."""

    _put = staticmethod(take_place)


def _stamp(stat: os.stat_result) -> _Stamp:
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _write_stamped(path: str, text: bytes) -> _Stamp:
    """Write a file whose time is exact: the kernel's own ticks are too coarse to tell two versions apart."""
    now_ns = time.time_ns()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.utime(descriptor, ns=(now_ns, now_ns))
        return _stamp(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _unlink_if_there(path: str) -> bool:
    try:
        os.unlink(path)  # noqa: PTH108  a Path costs more than the call
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
