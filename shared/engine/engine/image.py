"""Image: where a suspended VM is written to, and read from, and the original's container for it.

An image is a signature and records, each after its type and length, as `xenopsd` writes it.
"""

import struct
from enum import IntEnum
from socket import socket
from typing import Protocol

from schema.fault import internal_error
from schema.objects.disk import Disk


class Line(Protocol):
    """A connection beside a stream's, for what goes to and fro while that is on its way."""

    def carry(self, local: socket) -> None:
        """Carry bytes both ways between it and a socket of this host, until either ends; then both do."""

    def shut(self) -> None:
        """Let whoever carries carry no more; from any thread."""


class ImageStream(Protocol):
    """A suspend image on its way: to or from a connection, or a disk.

    Errors of both: `Internal_error` when the stream ends early, `Cancelled` when the task does.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Hand over all of it; waits while the other side is slower."""

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, as soon as they are there."""

    def descriptor(self) -> int | None:
        """The open socket that carries just these bytes, for who can read or write it without this process.

        None: there is none. It stays its owner's, who shuts it down at a cancel; what has been read and
        written so far was read and written there, and whoever borrows it leaves it non-blocking.
        """
        return None

    def line(self, name: str) -> Line:
        """A line of that name, opened by the writer, which the reader asks for by the same name.

        Errors: `Internal_error`, this is no stream between two hosts, or the other side does not take it.
        """
        raise internal_error(f"there is no other side to open a line {name!r} to")


Image = Disk | ImageStream
"""A disk by its name, or the bytes themselves."""

SIGNATURE = b"XenSavedDomv2-\n"
HEADER = struct.Struct("<qq")
"""Type and length of a record."""


class RecordType(IntEnum):
    """The original's record types."""

    XENOPS = 0x0F
    LIBXC = 0xF0
    LIBXL = 0xF1
    LIBXC_LEGACY = 0xF2
    QEMU_TRAD = 0xF00
    QEMU_XEN = 0xF01
    DEMU = 0xF10
    VARSTORED = 0xF11
    SWTPM0 = 0xF12
    SWTPM = 0xF13
    END = 0xFFFF
