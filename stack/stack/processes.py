"""Processes: started in the background, known by pid and start time, stopped without hitting a stranger."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from stack.layout import Layout, Process

STOP_TIMEOUT_S = 15.0
"""A service that has not ended by then is killed: its work is in the log."""

POLL_S = 0.02


class StackError(Exception):
    """The stack cannot do what was asked; the sentence says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process by its pid and the time it started, in clock ticks since boot: pids are used again."""

    pid: int
    started: int


def spawn(process: Process, layout: Layout) -> Running:
    """Start a process in a session of its own, its output in its log, its identity in its pid file."""
    for path in (layout.log(process.name), layout.pid(process.name)):
        path.parent.mkdir(parents=True, exist_ok=True)
    with layout.log(process.name).open("ab") as log:
        child = subprocess.Popen(
            process.command,
            env={**os.environ, **process.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    started = start_time(child.pid)
    if started is None:
        raise StackError(f"{process.name} ended at once; see {layout.log(process.name)}")
    layout.pid(process.name).write_text(f"{child.pid} {started}\n")
    return Running(child.pid, started)


def running(name: str, layout: Layout) -> Running | None:
    """The process of that name if it runs."""
    try:
        pid, started = map(int, layout.pid(name).read_text().split())
    except (FileNotFoundError, ValueError):
        return None
    return Running(pid, started) if start_time(pid) == started else None


def stop(name: str, layout: Layout) -> bool:
    """End a process, by force when it takes too long; answers whether there was one."""
    found = running(name, layout)
    if found is not None:
        os.kill(found.pid, signal.SIGTERM)
        if not _gone(found, STOP_TIMEOUT_S):
            os.kill(found.pid, signal.SIGKILL)
            _gone(found, STOP_TIMEOUT_S)
    layout.pid(name).unlink(missing_ok=True)
    return found is not None


def known(layout: Layout) -> list[str]:
    """The names of all processes that were started here and not stopped."""
    return sorted(path.stem for path in (layout.root / "run").glob("*.pid"))


def start_time(pid: int) -> int | None:
    """When a live process started, in clock ticks since boot; None for a dead one, a zombie too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _gone(process: Running, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while start_time(process.pid) == process.started:
        _reap(process.pid)
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def _reap(pid: int) -> None:
    """Take leave of a child; a process that somebody else started is not ours to wait for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
