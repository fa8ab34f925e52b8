"""Image: a suspended VM in the original's container; its memory is what libxl writes, in chunks.

    signature | Xenops: whose it is | Libxl: a chunk | Libxl: a chunk | … | End

Nobody knows beforehand how much libxl will write, and a reader believes no length beyond a chunk's.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from engine.image import HEADER, SIGNATURE, ImageStream, RecordType
from schema.fault import XenopsError, internal_error
from typing_extensions import override

from worker_xen.pump import CHUNK_BYTES, Progress, write_all


class FileImage(ImageStream):
    """An image in a file or on a device; the file must be there to be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @override
    def write(self, data: bytes | memoryview) -> None:
        """All of it."""
        self._file.write(data)

    @override
    def read(self, size: int) -> bytes:
        """Exactly so many bytes. Errors: `Internal_error`, it ends before."""
        found = self._file.read(size)
        if len(found) < size:
            raise internal_error("it ends too early: End_of_file")
        return found


def write_head(stream: ImageStream, vm: str, *, has_usb: bool = False) -> None:
    """Begin an image; `has_usb`: its hardware has a controller that came while it ran."""
    stream.write(_head(vm, has_usb=has_usb))


def write_end(stream: ImageStream) -> None:
    """End it: without, it is none."""
    stream.write(HEADER.pack(RecordType.END, 0))


def read_head(stream: ImageStream, vm: str) -> bool:
    """Begin to read; answers `has_usb`. Errors: `Internal_error` that says why it is no image of ours."""
    signature = stream.read(len(SIGNATURE))
    if signature != SIGNATURE:
        raise damaged(vm, f'Not a valid signature: "{signature.decode("ascii", "backslashreplace")}"')
    kind, length = read_header(stream, vm)
    if kind is not RecordType.XENOPS:
        raise damaged(vm, f"a record {kind.name} where XENOPS should be")
    try:
        told = json.loads(stream.read(length))
        backend, has_usb = told["backend"], told.get("has_usb") is True
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(vm, "it does not say which backend has written it") from error
    if backend != "xenlight":
        raise internal_error(
            f"Cannot resume VM {vm}: its suspend image was written by {backend!r}, not by xenlight"
        )
    return has_usb


def read_header(stream: ImageStream, vm: str) -> tuple[RecordType, int]:
    """The next record's type and length. Errors: `Internal_error`, it makes no sense."""
    kind, length = HEADER.unpack(stream.read(HEADER.size))
    if kind not in set(RecordType):
        raise damaged(vm, f"Invalid_header_type: {kind:#x}")
    if not 0 <= length <= CHUNK_BYTES:
        raise damaged(vm, f"a record {RecordType(kind).name} of {length} bytes is not possible")
    return RecordType(kind), length


def damaged(vm: str, why: str) -> XenopsError:
    """What is said of an image that is none."""
    return internal_error(f"Cannot resume VM {vm}: its suspend image is damaged: {why}")


def chunks_to(stream: ImageStream, progress: Progress) -> Callable[[int], None]:
    """Carry what libxl writes into an image."""

    def carry(source: int) -> None:
        come = 0
        while chunk := os.read(source, CHUNK_BYTES):
            stream.write(HEADER.pack(RecordType.LIBXL, len(chunk)) + chunk)
            come += len(chunk)
            progress(come)

    return carry


def chunks_from(stream: ImageStream, vm: str, progress: Progress) -> Callable[[int], None]:
    """Carry an image to libxl, up to its end."""

    def carry(target: int) -> None:
        come = 0
        while True:
            kind, length = read_header(stream, vm)
            if kind is RecordType.END:
                return
            if kind is not RecordType.LIBXL:
                raise damaged(vm, f"a record {kind.name} where LIBXL should be")
            write_all(target, stream.read(length))
            come += length
            progress(come)

    return carry


def wipe(path: Path) -> None:
    """Let a broken image be none: its signature is gone."""
    with suppress(OSError), path.open("r+b") as file:
        file.write(bytes(len(SIGNATURE)))


def wipe_draft(path: Path, vm: str) -> None:
    """The same with what a worker that died has left of a VM's image; what else is there now stays."""
    heads = tuple(_head(vm, has_usb=has_usb) for has_usb in (False, True))
    with suppress(OSError, ValueError), path.open("rb") as file:
        if file.read(max(map(len, heads))).startswith(heads):
            wipe(path)


def _head(vm: str, *, has_usb: bool) -> bytes:
    words = json.dumps({"vm": vm, "backend": "xenlight", **({"has_usb": True} if has_usb else {})}).encode()
    return SIGNATURE + HEADER.pack(RecordType.XENOPS, len(words)) + words
