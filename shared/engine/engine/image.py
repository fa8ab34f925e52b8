"""Image: where a suspended VM is written to, and read from: a disk, or the connection to another host."""

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


Image = Disk | ImageStream
"""A disk by its name, or the bytes themselves."""
