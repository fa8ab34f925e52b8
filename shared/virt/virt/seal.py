r"""Seal: the end of a suspend image, behind all that libvirt has written: without it, it is none.

    what libvirt writes | SHA-256 of it | its length, 64 bit, little endian | "XenopsLibvirt1\n"

Libvirt marks an image as whole itself; that its bytes are still those that were written, it does not look at.
"""

import hashlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

from schema.fault import internal_error

_TRAILER = struct.Struct("<32sq15s")
_MAGIC = b"XenopsLibvirt1\n"

SEAL_BYTES = _TRAILER.size
"""What stands behind libvirt's own bytes."""

_CHUNK_BYTES = 1 << 20


def seal(path: Path) -> None:
    """Put the seal behind what is in the file, and see that all of it is on the disk. Errors: `OSError`."""
    with path.open("r+b") as file:
        length = file.seek(0, os.SEEK_END)
        digest = _digest(file, length)
        file.seek(length)
        file.write(_TRAILER.pack(digest, length, _MAGIC))
        file.flush()
        os.fsync(file.fileno())


def check_seal(vm: str, path: Path) -> None:
    """Read all of an image. Errors: `Internal_error` that says what is wrong with it."""
    try:
        with path.open("rb") as file:
            reason = _damage(file)
    except (OSError, ValueError) as error:
        raise internal_error(f"Cannot resume VM {vm}: there is no suspend image {path}: {error}") from error
    if reason is not None:
        raise internal_error(f"Cannot resume VM {vm}: its suspend image {path} is damaged: {reason}")


def _damage(file: BinaryIO) -> str | None:
    size = file.seek(0, os.SEEK_END)
    if size < _TRAILER.size:
        return "it ends too early"
    file.seek(size - _TRAILER.size)
    digest, length, magic = _TRAILER.unpack(file.read(_TRAILER.size))
    if magic != _MAGIC:
        return "it has no seal at its end, so it was never finished, was cut off, or another backend wrote it"
    if length != size - _TRAILER.size:
        return f"it says that it has {length} bytes, and it has {size - _TRAILER.size}"
    if _digest(file, length) != digest:
        return "it is not what was written: its checksum differs"
    return None


def _digest(file: BinaryIO, length: int) -> bytes:
    file.seek(0)
    digest, left = hashlib.sha256(), length
    while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.digest()
