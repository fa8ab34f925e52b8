"""Image: where a suspended VM is written to, and read from, and the original's container for it.

An image is a signature and records, each after its type and length, as `xenopsd` writes it.
"""

import struct
from enum import IntEnum
from typing import Protocol

from schema.objects.disk import Disk


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
