"""Swap: a file takes another's place at once, where nobody looks for it after a power failure.

Renaming over a file makes ext4 write the new one to the medium there and then, for programs that trust in
finding it after a power failure (its option `auto_da_alloc`); beside others that write, this takes
milliseconds. Names that are exchanged change as much at once, and nothing is written for it.
"""

import ctypes
import os

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""renameat2(2), <linux/fs.h>."""

_LIBC = ctypes.CDLL(None)


def take_place(draft: str, path: str) -> None:
    """Let the file `draft` be `path`; who reads that sees the file before or this one.

    A process that is killed meanwhile may leave the file before as `draft`. Errors: `OSError`.
    """
    if _exchanged(draft, path):
        os.unlink(draft)  # noqa: PTH108  a string, as callers have it
    else:
        os.rename(draft, path)  # noqa: PTH104  likewise


def _exchanged(draft: str, path: str) -> bool:
    """No where there is no file yet, and where the file system or the C library does not know how."""
    exchange = getattr(_LIBC, "renameat2", None)
    words = (_AT_FDCWD, os.fsencode(draft), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE)
    return exchange is not None and exchange(*words) == 0
