r"""Stream: what libvirt saves a domain as: its own header with the domain's document, then libxl's stream.

    "libvirt-xml\n \0 \r" | version, length of the document: 32 bit each | 40 bytes | document, 0 | stream

libxl's stream (docs/specs/libxl-migration-stream of Xen) is a header and records; one of them says that
libxc's stream follows. Whatever stands in a file is believed only as far as the file goes.
"""

import os
import struct
from functools import partial
from typing import BinaryIO

from worker_xen.libxc.stream import pieces

_HEADER = struct.Struct("<16sII40s")
_MAGIC = b"libvirt-xml\n \0 \r"
_VERSION = 2
_DOCUMENT_BYTES_MAX = 1 << 20
"""A document with a thousand devices has half of it."""

_LIBXL_IDENT = b"LibxlFmt"
_LIBXL_HEADER_BYTES = 16
_RECORD = struct.Struct("<II")
_RECORD_ALIGNMENT = 8
_END, _LIBXC_CONTEXT = 0, 1
"""Types of records."""

_CHUNK_BYTES = 1 << 20


class StreamError(Exception):
    """It is no saved domain; the sentence says why."""


def head(document: str) -> bytes:
    """What stands before the stream."""
    text = document.encode() + b"\0"
    return _HEADER.pack(_MAGIC, _VERSION, len(text), bytes(40)) + text


def skip_head(file: BinaryIO) -> None:
    """Read up to where the stream begins. Errors: `StreamError`."""
    magic, version, length, _ = _HEADER.unpack(_exactly(file, _HEADER.size))
    if magic != _MAGIC:
        raise StreamError("libvirt has not written it")
    if version != _VERSION:
        raise StreamError(f"it is of version {version} of libvirt's images, and known is {_VERSION}")
    if not 0 < length <= _DOCUMENT_BYTES_MAX:
        raise StreamError(f"a document of {length} bytes is not possible")
    _exactly(file, length)


def is_whole(file: BinaryIO) -> bool:
    """Whether a file has all of a saved domain, and no more: what writes it may have been stopped."""
    try:
        skip_head(file)
        if _exactly(file, _LIBXL_HEADER_BYTES)[:8] != _LIBXL_IDENT:
            return False
        while (kind := _skip_record(file)) != _END:
            if kind == _LIBXC_CONTEXT:
                for _ in pieces(partial(_exactly, file), _CHUNK_BYTES):
                    pass
    except (StreamError, ValueError):
        return False
    return not file.read(1)


def _skip_record(file: BinaryIO) -> int:
    """Answers the record's type."""
    kind, length = _RECORD.unpack(_exactly(file, _RECORD.size))
    file.seek(length + -length % _RECORD_ALIGNMENT, os.SEEK_CUR)
    return int(kind)


def _exactly(file: BinaryIO, size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise StreamError("it ends too early")
    return found
