"""Columns: many values of one kind as bytes, so that a million of them are written and read at once."""

import json
import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any

_LENGTH = struct.Struct("<Q")

INTEGERS, FLOATS, INDICES, TEXTS = "q", "d", "I", "s"
"""Kinds: signed integers of 64 bits, floats, unsigned integers of 32 bits, and texts or null, as JSON."""


class ColumnsError(Exception):
    """Bytes that hold no such columns; the sentence says why."""


class Writer:
    """Columns, in the order in which they are put, and behind them a head, which is any JSON value.

    Each is written where it stays: what is written is as large as what it is written of.
    """

    def __init__(self, magic: bytes) -> None:
        self._kinds: list[tuple[str, int]] = []
        self._written = BytesIO()
        self._written.write(magic)

    def put(self, kind: str, values: Sequence[Any]) -> None:
        """One more column."""
        if kind == TEXTS:
            column = json.dumps(values, separators=(",", ":")).encode()
        else:
            column = struct.pack(f"<{len(values)}{kind}", *values)
        self._kinds.append((kind, len(column)))
        self._written.write(column)

    def written(self, head: Any) -> bytes:
        """All of it."""
        described = json.dumps([head, self._kinds], separators=(",", ":")).encode()
        self._written.write(described)
        self._written.write(_LENGTH.pack(len(described)))
        return self._written.getvalue()


class Reader:
    """What a `Writer` has written."""

    def __init__(self, data: bytes, magic: bytes) -> None:
        """Read the head.

        Raises:
            ColumnsError: it was not written so, or not whole.
        """
        if not data.startswith(magic):
            raise ColumnsError(f"it does not begin with {magic!r} but with {data[: len(magic)]!r}")
        self._rest = memoryview(data)[len(magic) :]
        try:
            (length,) = _LENGTH.unpack(self._last(_LENGTH.size))
            self.head, self._kinds = json.loads(bytes(self._last(length)))
        except (struct.error, ValueError, TypeError) as error:
            raise ColumnsError(f"its head does not parse: {error}") from error
        self._kinds.reverse()

    def take(self) -> Sequence[Any]:
        """The next column.

        Raises:
            ColumnsError: there is none, or not all of it.
        """
        try:
            kind, length = self._kinds.pop()
            column, self._rest = self._rest[:length], self._rest[length:]
            if kind == TEXTS:
                texts: list[Any] = json.loads(bytes(column))
                return texts
            return struct.unpack(f"<{length // struct.calcsize('<' + kind)}{kind}", column)
        except (struct.error, ValueError, TypeError, IndexError) as error:
            raise ColumnsError(f"a column does not parse: {error}") from error

    def _last(self, length: int) -> memoryview:
        if length > len(self._rest):
            raise ColumnsError(f"{length - len(self._rest)} bytes are missing")
        cut = len(self._rest) - length
        taken, self._rest = self._rest[cut:], self._rest[:cut]
        return taken
