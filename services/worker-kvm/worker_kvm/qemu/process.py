"""Process: a QEMU as a process, which outlives the worker that started it."""

import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bus.pids import reap, start_time

from worker_kvm.qemu.machine import Process
from worker_kvm.rights import without_rights

_POLL_S = 0.005

_LOG_MODE = 0o600


def spawn(command: Sequence[str], log: Path, keep: Sequence[int]) -> Process:
    """Start a program in a session of its own, what it says in `log`; it inherits the files `keep`.

    It inherits no capabilities, and of our environment `PATH` alone: the rest has the broker's password.

    Raises:
        OSError: it cannot be started, or ended at once.
    """
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, _LOG_MODE),
        *((os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in keep),
    ]
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    start = partial(
        os.posix_spawnp, command[0], list(command), environment, file_actions=actions, setsid=True
    )
    pid = without_rights(start)
    started = start_time(pid)
    if started is None:
        reap(pid)
        raise OSError(f"{command[0]} ended at once")
    return Process(pid=pid, started=started)


def is_alive(process: Process) -> bool:
    """Whether it still runs."""
    reap(process.pid)
    return start_time(process.pid) == process.started


def kill(process: Process) -> None:
    """End it at once, as by a crash; it has ended already, nothing to do."""
    if is_alive(process):
        os.kill(process.pid, signal.SIGKILL)


def ends(process: Process, timeout_s: float) -> bool:
    """Wait until it has ended; answers whether it did in time."""
    end = time.monotonic() + timeout_s
    while is_alive(process):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True
