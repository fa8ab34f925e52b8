"""Processes: started in the background, known by pid and start time, ended without hitting a stranger."""

import hashlib
import os
import select
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from bus.pids import reap, start_time

from stack.layout import Layout
from stack.shape import Process

MARK = "XENOPS_STACK"
"""A variable that every process of a stack has, and all that it starts: the stack's root."""

STOP_TIMEOUT_S = 40.0
"""A service that has not ended by then is killed: its work is in the log. Workers may take 30 s to stop."""

KILL_TIMEOUT_S = 10.0
"""How long the system may take to end what was killed."""

LOG_LINES = 15
"""How much of a log is shown when something goes wrong."""

_TAIL_BYTES = 16_384


class StackError(Exception):
    """The stack cannot do what was asked; the sentence says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process by its pid and the time it started, in clock ticks since boot: pids are used again."""

    pid: int
    started: int


def environment(layout: Layout) -> dict[str, str]:
    """What every process of a stack has in its environment."""
    own = {"TMPDIR": str(layout.temporary), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    return {**os.environ, **own, MARK: str(layout.root)}


def spawn(process: Process, layout: Layout) -> Running:
    """Start a process in a session of its own, its output in its log, its identity in its pid file."""
    with layout.log(process.name).open("ab") as log:
        try:
            child = subprocess.Popen(
                process.command,
                cwd=layout.root,
                env={**environment(layout), **process.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"cannot start {process.name}: {error}; `make setup` first") from error
    started = start_time(child.pid)
    if started is None:
        child.wait()
        raise StackError(f"{process.name} ended at once. {last_words(process.name, layout)}")
    child.returncode = 0  # let go: it outlives this object, and is known by its pid file
    layout.pid(process.name).write_text(f"{child.pid} {started} {fingerprint(process)}\n")
    return Running(child.pid, started)


def fingerprint(process: Process) -> str:
    """Changes when the process would be started otherwise."""
    return hashlib.sha256(repr((process.command, sorted(process.environment.items()))).encode()).hexdigest()


def running(name: str, layout: Layout) -> Running | None:
    """The process of that name, if it runs."""
    words = _words(name, layout)
    if len(words) != 3 or not words[0].isdecimal() or not words[1].isdecimal():
        return None
    found = Running(int(words[0]), int(words[1]))
    return found if start_time(found.pid) == found.started else None


def runs_as(process: Process, layout: Layout) -> bool:
    """Whether it runs, started as it would be now."""
    return running(process.name, layout) is not None and _words(process.name, layout)[2] == fingerprint(
        process
    )


def known(layout: Layout) -> list[str]:
    """The names of all processes that were started here and not stopped."""
    return sorted(path.name for path in layout.pids.glob("*"))


def stop(names: Iterable[str], layout: Layout) -> list[str]:
    """End processes, all at once, by force those that take too long; answers which of them ran."""
    found = {name: process for name in names if (process := running(name, layout)) is not None}
    end(found.values(), signal.SIGTERM, STOP_TIMEOUT_S)
    end(found.values(), signal.SIGKILL, KILL_TIMEOUT_S)
    for name in names:
        layout.pid(name).unlink(missing_ok=True)
    return list(found)


def end(processes: Iterable[Running], number: signal.Signals, timeout_s: float) -> None:
    """Send a signal to those that still run, and wait for their ends."""
    handles = {process: handle for process in processes if (handle := _open(process)) is not None}
    try:
        for handle in handles.values():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        for process, handle in handles.items():
            select.select([handle], [], [], timeout_s)
            reap(process.pid)
    except PermissionError as error:
        raise StackError("a process of this stack belongs to another user: ask them, or root") from error
    finally:
        for handle in handles.values():
            os.close(handle)


def last_words(name: str, layout: Layout) -> str:
    """The end of a process's log, and where the rest is."""
    path = layout.log(name)
    with suppress(FileNotFoundError), path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"Its log, {path}, ends:", *(f"    {line}" for line in lines)])
    return f"It has written nothing to {path}"


def _words(name: str, layout: Layout) -> list[str]:
    try:
        return layout.pid(name).read_text().split()
    except (FileNotFoundError, UnicodeDecodeError):
        return []


def _open(process: Running) -> int | None:
    """A handle that is this process's and never another's."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if start_time(process.pid) == process.started:
        return handle
    os.close(handle)
    return None
