"""Rights: a program is started without the capabilities that we have been given to hand on."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
"""prctl(2), <linux/prctl.h>."""

T = TypeVar("T")


def without_rights(start: Callable[[], T]) -> T:
    """What `start` answers, called where its children inherit no ambient capability; capabilities(7).

    A service manager gives a worker that is not root what it needs as ambient capabilities, which every
    program that it starts would have as well. They are a thread's own, so one that gives them up is used;
    where there are none, none.
    """
    if not _are_given():
        return start()

    def give_up_and_start() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0):
            raise OSError(
                ctypes.get_errno(), f"capabilities cannot be given up: {os.strerror(ctypes.get_errno())}"
            )
        return start()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(give_up_and_start).result()


def _are_given() -> bool:
    """Whether this thread has any that its children inherit; a kernel that does not say so may have some."""
    with open("/proc/thread-self/status", "rb") as status:  # noqa: PTH123  a Path costs more than the call
        ambient = next((line for line in status if line.startswith(b"CapAmb:")), b"CapAmb: 1")
    return int(ambient.split()[1], 16) != 0
