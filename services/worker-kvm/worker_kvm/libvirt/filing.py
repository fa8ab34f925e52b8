r"""Filing: a saved domain's file into a place that lasts, a device or a file of storage's, and out of it.

    "XenopsLibvirt1\n" | 0 | length of the file, 64 bit, little endian | the file, sealed

Libvirt writes to a file of its own alone, and removes what it could not write whole. What stands first is
written last: until then there is no image.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.backend import Execution
from schema.fault import internal_error

_HEAD = struct.Struct("<15sxQ")
_WORD = b"XenopsLibvirt1\n"

PIECE_BYTES = 1 << 20


def file_away(path: Path, place: Path, execution: Execution) -> None:
    """Write a file there; failed, there is no image.

    Errors: `Internal_error` that names the place, `Cancelled`.
    """
    with _explained(f"The suspend image {place} cannot be written"), _open(place, os.O_WRONLY) as descriptor:
        os.pwrite(descriptor, bytes(_HEAD.size), 0)
        size = _copy(path, descriptor, execution)
        os.fsync(descriptor)
        os.pwrite(descriptor, _HEAD.pack(_WORD, size), 0)
        os.fsync(descriptor)


def fetch(place: Path, path: Path, execution: Execution, *, bytes_max: int) -> None:
    """Make a file of what is there; whether it is whole, its seal says.

    Errors: `Internal_error`, there is no image, or none that may be so large; `Cancelled`.
    """
    with _explained(f"The suspend image {place} cannot be read"), _open(place, os.O_RDONLY) as descriptor:
        head = os.pread(descriptor, _HEAD.size, 0)
        word, size = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
        if word != _WORD or size > bytes_max:
            raise internal_error(f"There is no suspend image on {place}, or another backend has written it")
        with path.open("xb") as file:
            for piece in _pieces(descriptor, size, execution):
                file.write(piece)


def _copy(path: Path, descriptor: int, execution: Execution) -> int:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        place = _HEAD.size
        while piece := memoryview(file.read(PIECE_BYTES)):
            execution.check_cancelled()
            while piece:
                written = os.pwrite(descriptor, piece, place)
                piece, place = piece[written:], place + written
            execution.progress((place - _HEAD.size) / size)
    return size


def _pieces(descriptor: int, size: int, execution: Execution) -> Iterator[bytes]:
    """As far as there is anything."""
    come = 0
    while come < size and (piece := os.pread(descriptor, min(PIECE_BYTES, size - come), _HEAD.size + come)):
        execution.check_cancelled()
        yield piece
        come += len(piece)
        execution.progress(come / size)


@contextmanager
def _open(place: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(place, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise internal_error(
            f"{what}: {error.strerror}; see to its room and its rights, and to the room below XENOPS_RUN_DIR"
        ) from error
