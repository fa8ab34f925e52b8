"""Snapshots: a fold's state as messages of a bounded size, whole or ignored; no stream or file inside.

A snapshot is lines of JSON, compressed as one and cut into pieces. Each piece is a line of JSON about itself
and, behind it, bytes. The last one carries a checksum of all.
"""

import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from schema.ids import Offset

from bus.place import Place

FORMAT = 1
"""Of the pieces and of the header; what is below the header is its service's."""

PIECE_BYTES = 256 * 1024
"""How large a message is: a broker with little memory takes it, and others need not wait for it long."""

SNAPSHOT_BYTES_MAX = 100_000_000
"""A compressed snapshot larger than that is not made: its stream holds two of them."""

_LINE = 48 * 1024
"""Bytes of any kind in one line."""

_COMPRESSION = 1
"""A tenth of the time of zlib's usual one, a fifth more bytes."""


class SnapshotError(Exception):
    """A snapshot cannot be made, or not be taken up by this version; the sentence says why."""


class Header(BaseModel):
    """The first line: whose state it is, and of which place in the log; `at` in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    service: str
    at: float
    next: int
    anchor: str
    producers: dict[str, int]

    @property
    def place(self) -> Place:
        """Where its fold reads on."""
        return Place(Offset(self.next), self.anchor, self.producers)


class _Piece(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    snapshot: str
    index: int
    last: bool = False
    sha256: str = ""


def cut(name: str, header: Header, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a snapshot, in order; `name` must be its own.

    Raises:
        SnapshotError: it is too large.
    """
    digest = hashlib.sha256()
    index = size = 0
    rest = bytearray()
    for compressed in _compressed(header, lines):
        digest.update(compressed)
        size += len(compressed)
        if size > SNAPSHOT_BYTES_MAX:
            raise SnapshotError(f"it has more than {SNAPSHOT_BYTES_MAX} bytes")
        rest += compressed
        while len(rest) > PIECE_BYTES:
            yield _encoded(_Piece(snapshot=name, index=index), bytes(rest[:PIECE_BYTES]))
            del rest[:PIECE_BYTES]
            index += 1
    last = _Piece(snapshot=name, index=index, last=True, sha256=digest.hexdigest())
    yield _encoded(last, bytes(rest))


def _compressed(header: Header, lines: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(_COMPRESSION)
    yield compressor.compress(header.model_dump_json().encode() + b"\n")
    for line in lines:
        yield compressor.compress(line + b"\n")
    yield compressor.flush()


def _encoded(piece: _Piece, content: bytes) -> bytes:
    return piece.model_dump_json().encode() + b"\n" + content


def packed(content: bytes) -> Iterator[bytes]:
    """Bytes of any kind as lines."""
    return (b64encode(content[begin : begin + _LINE]) for begin in range(0, len(content), _LINE))


def unpacked(lines: Iterable[bytes]) -> bytes:
    """The bytes that were packed.

    Raises:
        SnapshotError: these lines are no packed bytes.
    """
    try:
        return b"".join(b64decode(line, validate=True) for line in lines)
    except ValueError as error:
        raise SnapshotError(f"it does not parse: {error}") from error


class Assembly:
    """Pieces as they are read, of whatever snapshots, in whatever mixture; answers those that are whole."""

    def __init__(self) -> None:
        self._begun: dict[str, list[bytes]] = {}
        self.longest = 0
        """How many pieces any snapshot that was met has at least."""

    def add(self, message: bytes) -> bytes | None:
        """Take the next message; answers a whole snapshot when it completes one. What is none is ignored."""
        head, _, content = message.partition(b"\n")
        try:
            piece = _Piece.model_validate_json(head)
        except ValidationError:
            return None
        self.longest = max(self.longest, piece.index + 1)
        pieces = self._begun.setdefault(piece.snapshot, [])
        if piece.index != len(pieces):
            del self._begun[piece.snapshot]
            return None
        pieces.append(content)
        if not piece.last:
            return None
        whole = b"".join(self._begun.pop(piece.snapshot))
        return whole if hashlib.sha256(whole).hexdigest() == piece.sha256 else None


def opened(whole: bytes) -> tuple[Header, Iterator[bytes]]:
    """A whole snapshot's header, and its other lines.

    Raises:
        SnapshotError: it is of a format that this version does not know.
    """
    lines = _lines(whole)
    try:
        return Header.model_validate_json(next(lines, b"")), lines
    except (ValidationError, zlib.error) as error:
        raise SnapshotError(f"it is not of format {FORMAT}: another version made it") from error


def _lines(whole: bytes) -> Iterator[bytes]:
    decompressor = zlib.decompressobj()
    rest = b""
    for begin in range(0, len(whole), PIECE_BYTES):
        *lines, rest = (rest + decompressor.decompress(whole[begin : begin + PIECE_BYTES])).split(b"\n")
        yield from lines
