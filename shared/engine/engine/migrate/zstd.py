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

    Never more is decompressed than is asked for: of zeros, a few bytes on the wire are gigabytes.
    """

    def __init__(self, read_some: Callable[[int], bytes]) -> None:
        source = cast("IO[bytes]", _Source(read_some))
        self._reader = zstandard.ZstdDecompressor().stream_reader(source, read_size=_PIECE_BYTES)

    @override
    def write(self, data: bytes | memoryview) -> None:
        raise internal_error("a channel that is compressed by its sender cannot be written")

    @override
    def read(self, size: int) -> bytes:
        try:
            found = self._reader.read(size)
        except zstandard.ZstdError as error:
            raise internal_error(f"what the source sends is not compressed by zstd: {error}") from error
        if len(found) < size:
            raise internal_error(f"what the source compressed ends {size - len(found)} bytes early")
        return found


@dataclass(frozen=True, slots=True)
class _Source:
    """What zstandard wants of a file: the one method that it calls."""

    read: Callable[[int], bytes]
