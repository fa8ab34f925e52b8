"""Accompanied: a stream between two hosts, with further lines beside it."""

from collections.abc import Callable

from typing_extensions import override

from engine.image import ImageStream, Line


class Accompanied(ImageStream):
    """The same stream; `open_line` opens a line of a name, or waits for it. Errors as of `ImageStream`."""

    def __init__(self, stream: ImageStream, open_line: Callable[[str], Line]) -> None:
        self._stream = stream
        self._open_line = open_line

    @override
    def write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)

    @override
    def read(self, size: int) -> bytes:
        return self._stream.read(size)

    @override
    def descriptor(self) -> int | None:
        return self._stream.descriptor()

    @override
    def line(self, name: str) -> Line:
        return self._open_line(name)
