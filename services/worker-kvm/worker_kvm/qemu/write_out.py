"""Write out: the kernel begins to write a file to its medium as it grows, so that `fsync` finds little."""

import ctypes

BEGIN_BYTES = 4 << 20
"""So many new ones are worth a call."""

_SYNC_FILE_RANGE_WRITE = 2
"""sync_file_range(2), <linux/fs.h>: begin, and wait for nothing."""


class WriteOut:
    """Of one file that is written from its beginning to its end.

    Only `fsync` says whether it has all arrived, and what went wrong.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begin = getattr(ctypes.CDLL(None), "sync_file_range", None)
        self._written = self._begun = 0

    def wrote(self, size: int) -> None:
        """So many bytes more are in the file."""
        self._written += size
        new = self._written - self._begun
        if new >= BEGIN_BYTES and self._begin is not None:
            place = ctypes.c_int64(self._begun), ctypes.c_int64(new)
            self._begin(self._descriptor, *place, _SYNC_FILE_RANGE_WRITE)
            self._begun = self._written
