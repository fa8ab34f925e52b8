"""Stream: where libxc's record of a guest ends, which nobody but the record itself says.

Its framing is that of Xen's `docs/specs/libxc-migration-stream.pandoc`, version 2 and 3: two headers, then
records, each padded to eight bytes, the last one END. Contents are libxc's own to judge.
"""

import struct
from collections.abc import Callable, Iterator

IMAGE_HEADER = struct.Struct(">QIIHHI")
"""Marker, `XENF`, version, options and what is reserved; in network order."""

DOMAIN_HEADER_BYTES = 16

RECORD_HEADER = struct.Struct("<II")
"""Type and length of what follows."""

MARKER = (1 << 64) - 1
XENF = 0x58454E46
BIG_ENDIAN = 1
END = 0

RECORD_BYTES_MAX = 128 << 20
"""Of one record: libxc itself takes no longer one."""

_ALIGNMENT = 8


def pieces(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """A guest's record as it comes, in pieces of at most `size` bytes, up to its end and no byte more.

    `read` answers exactly so many bytes. Errors: ValueError that says why it is none; those of `read`.
    """
    head = read(IMAGE_HEADER.size)
    _check(*IMAGE_HEADER.unpack(head)[:4])
    yield head + read(DOMAIN_HEADER_BYTES)
    while True:
        head = read(RECORD_HEADER.size)
        kind, length = RECORD_HEADER.unpack(head)
        if length > RECORD_BYTES_MAX:
            raise ValueError(f"a record {kind:#x} of {length} bytes in its memory is not possible")
        yield head
        left = length + -length % _ALIGNMENT
        while left:
            piece = read(min(left, size))
            yield piece
            left -= len(piece)
        if kind == END:
            return


def _check(marker: int, word: int, version: int, options: int) -> None:
    if (marker, word) != (MARKER, XENF):
        raise ValueError("its memory does not begin as libxc's does: Invalid marker")
    if options & BIG_ENDIAN:
        raise ValueError(f"its memory, of version {version}, is of a host of the other byte order")
