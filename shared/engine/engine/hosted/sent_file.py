"""A sent file: a saved VM on its way to another host: its length, then its bytes, sealed as on a disk."""

import os
import struct
from pathlib import Path

from schema.fault import internal_error

from engine.backend import Execution
from engine.image import ImageStream

PIECE_BYTES = 1 << 20

_LENGTH = struct.Struct("<Q")
_DEVICES_BYTES_MAX = 1 << 30


def send_image(path: Path, stream: ImageStream, execution: Execution) -> None:
    """Send a file. Errors: `OSError`, those of the stream, `Cancelled`."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        stream.write(_LENGTH.pack(size))
        sent = 0
        while piece := file.read(PIECE_BYTES):
            execution.check_cancelled()
            stream.write(piece)
            sent += len(piece)
            execution.progress(sent / size)


def size_max(memory_bytes: int) -> int:
    """How large the file of a VM with that much memory may be: its devices have little beside it."""
    return 2 * memory_bytes + _DEVICES_BYTES_MAX


def receive_image(path: Path, stream: ImageStream, execution: Execution, *, bytes_max: int) -> None:
    """Take a file in; whether it is whole, its seal says. Errors: `Internal_error`, `Cancelled`."""
    (size,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    if size > bytes_max:
        raise internal_error(
            f"the other side sends {size} bytes, which no VM of that memory has: is it libvirt?"
        )
    left = size
    try:
        with path.open("xb") as file:
            while left:
                execution.check_cancelled()
                piece = stream.read(min(left, PIECE_BYTES))
                file.write(piece)
                left -= len(piece)
                execution.progress(1 - left / size)
    except OSError as error:
        raise internal_error(
            f"The VM that comes cannot be written to {path}: {error}; make room below XENOPS_RUN_DIR"
        ) from error
