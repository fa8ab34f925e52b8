"""Pids: a process by its number and its start time, for numbers are used again."""

import os
from pathlib import Path

_STARTED = 19
"""proc(5): `starttime` is the 22nd field of a process's stat, the 20th after its name."""


def start_time(pid: int) -> int | None:
    """When a live process started, in clock ticks since boot; None for a dead one, a zombie too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[_STARTED])


def reap(pid: int) -> None:
    """Take leave of a child that has ended; a process that somebody else started is not ours to wait for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
