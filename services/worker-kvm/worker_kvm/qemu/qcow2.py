"""Qcow2: which file an image says it is written on top of; values and no I/O.

The layout is that of QEMU's docs/interop/qcow2.txt.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEADER_BYTES = 65_536
"""What is read of an image: its header and the names in it are in its first cluster."""

_MAGIC = b"QFI\xfb"
_FIXED = struct.Struct(">4sIQI")
"""Magic, version, where the backing file's name is, and how long that is."""

_EXTENSION = struct.Struct(">II")
_FORMAT_OF_BACKING = 0xE2792ACA
_LENGTH_OF_VERSION_2 = 72
_LENGTH_AT = 100


@dataclass(frozen=True, slots=True)
class Backing:
    """The file below an image."""

    path: Path
    format: Literal["raw", "qcow2"]


def backing_of(image: Path, header: bytes) -> Backing | None:
    """What is below an image, by its first `HEADER_BYTES`; None: nothing, or it is no qcow2, QEMU will say.

    Raises:
        ValueError: a sentence; what is below is no file, or its format is not said, and never guessed.
    """
    if len(header) < _LENGTH_OF_VERSION_2 or not header.startswith(_MAGIC):
        return None
    _, version, place, size = _FIXED.unpack_from(header)
    if place == 0:
        return None
    name = header[place : place + size].decode(errors="surrogateescape")
    if len(name) == 0 or ":" in name.partition("/")[0] or "\0" in name:
        raise ValueError(f"the disk {image} is on top of {name!r}, which is no file of this host")
    format_ = _format(header, _LENGTH_OF_VERSION_2 if version == 2 else _word(header, _LENGTH_AT))
    match format_:
        case "raw" | "qcow2":
            return Backing(image.parent / name, format_)
        case _:
            raise ValueError(
                f"the disk {image} is on top of {name}, whose format it calls {format_ or 'nothing'!r}: set "
                "it with `qemu-img rebase -u -F raw|qcow2 -b FILE IMAGE`"
            )


def _format(header: bytes, place: int) -> str:
    """Among the extensions of the header, which a zero ends."""
    while place + _EXTENSION.size <= len(header):
        kind, size = _EXTENSION.unpack_from(header, place)
        place += _EXTENSION.size
        if kind == 0:
            break
        if kind == _FORMAT_OF_BACKING:
            return header[place : place + size].decode(errors="replace")
        place += -(-size // 8) * 8
    return ""


def _word(header: bytes, place: int) -> int:
    return int.from_bytes(header[place : place + 4], "big")
