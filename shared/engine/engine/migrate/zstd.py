"""Zstandard: a channel's bytes, compressed.

The frame is the one that the original's `zstd` makes and takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, cast

import zstandard
from schema.fault import internal_error
from typing_extensions import override

from engine.image import ImageStream, Line

_LEVEL = 1
"""Fast: a network of some Gbit/s is not to wait for it."""

_PIECE_BYTES = 1 << 17

_ROOM_BYTES = 1 << 20
"""For what is decompressed at a time; a block of zstd's has at most 128 KiB."""


class CompressingStream(ImageStream):
    """Writes what it is given in compressed form; `finish` ends the frame."""

    def __init__(self, stream: ImageStream) -> None:
        self._stream = stream
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()

    @override
    def write(self, data: bytes | memoryview) -> None:
        compressed = self._compressor.compress(data)
        if compressed:
            self._stream.write(compressed)

    @override
    def read(self, size: int) -> bytes:
        raise internal_error("a channel that is compressed for sending cannot be read")

    @override
    def line(self, name: str) -> Line:
        """Beside what is compressed, all of which is on its way then: the other side may wait for it."""
        self._stream.write(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        return self._stream.line(name)

    def finish(self) -> None:
        """Nothing more comes."""
        self._stream.write(self._compressor.flush())


class DecompressingStream(ImageStream):
    """Reads a compressed frame; `read_some` gives up to so many bytes of it, at least one.

    Little more is decompressed than is asked for: of zeros, a few bytes on the wire are gigabytes. And all
    that can be decompressed is, before more is waited for: the source may be waiting for us.
    """

    def __init__(self, read_some: Callable[[int], bytes]) -> None:
        source = cast("IO[bytes]", _Source(read_some))
        self._reader = zstandard.ZstdDecompressor().stream_reader(source, read_size=_PIECE_BYTES)
        self._room = bytearray(_ROOM_BYTES)
        self._waiting = bytearray()

    @override
    def write(self, data: bytes | memoryview) -> None:
        raise internal_error("a channel that is compressed by its sender cannot be written")

    @override
    def read(self, size: int) -> bytes:
        while len(self._waiting) < size:
            try:
                count = self._reader.readinto1(self._room)
            except zstandard.ZstdError as error:
                raise internal_error(f"what the source sends is not compressed by zstd: {error}") from error
            if count == 0:
                missing = size - len(self._waiting)
                raise internal_error(f"what the source compressed ends {missing} bytes early")
            self._waiting += memoryview(self._room)[:count]
        found = bytes(memoryview(self._waiting)[:size])
        del self._waiting[:size]
        return found


@dataclass(slots=True)
class _Source:
    """What zstandard wants of a file; the last byte of each piece is given by itself.

    Where the room is full zstd may hold the rest of a block and have taken all of its piece, which it does
    not tell. So the reader asks for more, and gets what can end one block: there is room for both.
    """

    read_some: Callable[[int], bytes]
    _last: bytes = b""

    def read(self, size: int) -> bytes:
        """Nothing: it has ended."""
        if self._last:
            found, self._last = self._last, b""
            return found
        piece = self.read_some(size)
        if len(piece) < 2:
            return piece
        self._last = piece[-1:]
        return piece[:-1]
