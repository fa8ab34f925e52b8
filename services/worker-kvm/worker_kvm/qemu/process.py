"""Process: a QEMU as a process, which outlives the worker that started it."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bus.pids import reap, start_time

from worker_kvm.qemu.machine import Process
from worker_kvm.rights import without_rights

_POLL_S = 0.005

_LOG_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Program:
    """What is started: the words of its command, where it runs, where what it says goes."""

    command: Sequence[str]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside `PATH`, all that it has: the rest of ours has the broker's password."""


def spawn(program: Program, keep: Sequence[int]) -> Process:
    """Start a program in a session of its own, without capabilities; of our files it inherits `keep` alone.

    Raises:
        OSError: it cannot be started, or ended at once.
    """
    pid = without_rights(partial(_start, program, keep))
    started = start_time(pid)
    if started is None:
        reap(pid)
        raise OSError(f"{program.command[0]} ended at once")
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


def _start(program: Program, keep: Sequence[int]) -> int:
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _LOG_MODE)
    try:
        child = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=keep,
            cwd=program.directory,
            env={"PATH": os.environ.get("PATH", os.defpath), **program.environment},
            start_new_session=True,
            restore_signals=False,  # it may write to who has hung up: SIGPIPE stays ignored, as in us
        )
    finally:
        os.close(log)
    child.returncode = 0  # it outlives this object, and whoever ends it reaps it
    return child.pid
