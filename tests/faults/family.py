"""Family: a program and all that it starts, which end with it however it ends.

QEMUs and services outlive who started them, as they should; but a sweep that is killed must leave none. So it
runs in a child: its parent takes over every process that loses its own, and ends them once the child has
ended. What the parent is told, it tells the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
"""Linux, <linux/prctl.h>."""


def within_family(program: Callable[[], int]) -> int:
    """Run a program in a child, which SIGTERM ends as `sys.exit` does; answers its exit code.

    To be called before there are threads. When it answers, nothing that the program started runs any more.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    parent, child = os.getpid(), os.fork()
    if not child:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        _run(program)
    before = {number: signal.signal(number, _tells(child)) for number in (signal.SIGTERM, signal.SIGINT)}
    code = _end_of(child)
    _end_all()
    for number, handler in before.items():
        signal.signal(number, handler)
    return code


def _run(program: Callable[[], int]) -> NoReturn:
    signal.signal(signal.SIGTERM, _exit)
    raise SystemExit(program())


def _exit(number: int, _frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # it is ending
    raise SystemExit(128 + number)


def _tells(child: int) -> Callable[[int, object], None]:
    def tell(number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM if number == signal.SIGINT else number)

    return tell


def _end_of(child: int) -> int:
    """Wait for one; whoever else has ended meanwhile is forgotten."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _end_all() -> None:
    """Whoever is left, and those whose parents end by that: every one becomes ours sooner or later."""
    with suppress(ChildProcessError):
        while True:
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.wait()


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(word) for word in text.split()]


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
