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
    program that it starts would have as well. They are a thread's own, so one that gives them up is used.
    """

    def give_up_and_start() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0):
            raise OSError(
                ctypes.get_errno(), f"capabilities cannot be given up: {os.strerror(ctypes.get_errno())}"
            )
        return start()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(give_up_and_start).result()
