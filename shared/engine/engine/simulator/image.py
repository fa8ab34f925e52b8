"""Suspend images: the original's container, a signature and (type, length) records, around a saved domain.

A simulated domain has simulated memory: bytes that follow from its id, so that whoever reads an image can
tell whether each of them has arrived.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BytesIO
from math import ceil

from schema.fault import internal_error
from schema.objects.disk import Disk
from schema.wire.codec import MarshalError, decode_text, encode_text
from schema.wire.errors import JsonError
from typing_extensions import override

from engine.image import HEADER, SIGNATURE, ImageStream, RecordType
from engine.simulator.machine import Domain

_RECORD_BYTES_MAX = 16 * 1024 * 1024
_STEPS_MIN = 20
_STEP_BYTES_MAX = 1024 * 1024
_PATTERN_BYTES = 64 * 1024

Step = Callable[[float], None]
"""Told after each piece how far the whole has come, 0..1; raises when it shall go no further."""


class DiskImage(ImageStream):
    """An image on a simulated disk: all of it, from its beginning."""

    def __init__(self, content: bytes = b"") -> None:
        self._content = BytesIO(content)

    @override
    def write(self, data: bytes | memoryview) -> None:
        self._content.write(data)

    @override
    def read(self, size: int) -> bytes:
        found = self._content.read(size)
        if len(found) < size:
            raise ValueError("it ends too early: End_of_file")
        return found

    def content(self) -> bytes:
        """All that was written."""
        return self._content.getvalue()


def image_name(disk: Disk) -> str:
    """The simulated disk's name: simulated, so that no client's path ever names a file of the real host."""
    return hashlib.sha256(disk.model_dump_json().encode()).hexdigest()


def write_head(stream: ImageStream, domain: Domain) -> None:
    """The image's beginning: what the domain is."""
    text = encode_text(Domain, domain).encode("utf-8", "surrogateescape")
    stream.write(SIGNATURE + HEADER.pack(RecordType.XENOPS, len(text)) + text)


def write_memory(stream: ImageStream, domain: Domain, memory_bytes: int, step: Step) -> None:
    """The domain's memory."""
    stream.write(HEADER.pack(RecordType.LIBXC, memory_bytes))
    for offset, size in _pieces(memory_bytes):
        stream.write(_memory(domain.uuid, offset, size))
        step((offset + size) / memory_bytes)


def write_end(stream: ImageStream) -> None:
    """The footer: without it an image is none."""
    stream.write(HEADER.pack(RecordType.END, 0))


def write_vgpu(stream: ImageStream, domain: Domain) -> None:
    """What goes on the virtual GPUs' own channel."""
    state = domain.uuid.encode()
    stream.write(HEADER.pack(RecordType.DEMU, len(state)) + state)
    write_end(stream)


def read_vgpu(stream: ImageStream, vm: str) -> None:
    """The other side of `write_vgpu`. Errors: `Internal_error`, it is not what was written."""
    try:
        for kind, length in _headers(stream):
            _expect(kind, RecordType.DEMU)
            stream.read(length)
    except ValueError as error:
        raise internal_error(f"Cannot restore the virtual GPU of VM {vm}: {error}") from error


def read_image(stream: ImageStream | None, vm: str, step: Step = lambda _: None) -> Domain:
    """A domain from an image.

    Errors: `Internal_error` that says what is wrong with it, in the original's words where it has some; None
    is no image at all.
    """
    if stream is None:
        raise internal_error(f"Cannot resume VM {vm}: there is no suspend image on the disk given")
    try:
        return _read_image(stream, step)
    except (ValueError, JsonError, MarshalError) as error:
        raise internal_error(f"Cannot resume VM {vm}: its suspend image is damaged: {error}") from error


def _read_image(stream: ImageStream, step: Step) -> Domain:
    signature = stream.read(len(SIGNATURE))
    if signature != SIGNATURE:
        raise ValueError(f'Not a valid signature: "{signature.decode("ascii", "backslashreplace")}"')
    domain: Domain | None = None
    has_memory = False
    for kind, length in _headers(stream):
        if domain is None:
            _expect(kind, RecordType.XENOPS)
            domain = decode_text(Domain, stream.read(length).decode("utf-8", "surrogateescape"))
        else:
            _expect(kind, RecordType.LIBXC)
            _check_memory(stream, domain, length, step)
            has_memory = True
    if domain is None or not has_memory:
        raise ValueError("Well formed, but useless stream")
    return domain


def _headers(stream: ImageStream) -> Iterator[tuple[int, int]]:
    """The records' headers until the footer; whoever takes one reads its record."""
    while True:
        kind, length = HEADER.unpack(stream.read(HEADER.size))
        if kind not in set(RecordType):
            raise ValueError(f"Invalid_header_type: {kind:#x}")
        if kind == RecordType.END:
            return
        if length < 0 or (kind != RecordType.LIBXC and length > _RECORD_BYTES_MAX):
            raise ValueError(f"a record {RecordType(kind).name} of {length} bytes is not possible")
        yield kind, length


def _expect(kind: int, expected: RecordType) -> None:
    if kind != expected:
        raise ValueError(f"a record {RecordType(kind).name} where {expected.name} should be")


def _check_memory(stream: ImageStream, domain: Domain, memory_bytes: int, step: Step) -> None:
    for offset, size in _pieces(memory_bytes):
        if stream.read(size) != _memory(domain.uuid, offset, size):
            raise ValueError(f"memory from byte {offset} on is not what the domain {domain.uuid} had there")
        step((offset + size) / memory_bytes)


def _pieces(memory_bytes: int) -> Iterator[tuple[int, int]]:
    """Memory in steps: offset and size of each."""
    size = min(_STEP_BYTES_MAX, ceil(memory_bytes / _STEPS_MIN))
    for offset in range(0, memory_bytes, size or 1):
        yield offset, min(size, memory_bytes - offset)


def _memory(uuid: str, offset: int, size: int) -> bytes:
    start = offset % _PATTERN_BYTES
    return _pattern(uuid)[start : start + size]


@lru_cache(maxsize=4)
def _pattern(uuid: str) -> bytes:
    """Enough of a domain's memory to find any piece of it."""
    pattern = hashlib.shake_128(uuid.encode("utf-8", "surrogateescape")).digest(_PATTERN_BYTES)
    return pattern * (_STEP_BYTES_MAX // _PATTERN_BYTES + 1)
