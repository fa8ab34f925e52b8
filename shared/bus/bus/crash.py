"""Crash points: where a process may be told to die between two effects of a task, counted from 1.

For whoever wants to see that nothing is lost wherever a service dies. `XENOPS_CRASH_POINT` is
NAME:KIND:NUMBER: the `debug_info` that the task's client gives, and which point of a kind; without it nothing
is counted. Each process counts its own:

- `read`: before and after what it does about a record that is of the task's VM,
- `append`: before such a record is sent, and when the broker has confirmed it,
- `tell`: before and after a word of the redirector to the frontend, on either side,
- `step`, `journal`, `store`: of a worker, before and after an atomic, a note, a change of metadata.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

VARIABLE = "XENOPS_CRASH_POINT"
"""Where a process looks."""


class CrashKind(StrEnum):
    """Between which effects a point is."""

    READ = "read"
    APPEND = "append"
    TELL = "tell"
    STEP = "step"
    JOURNAL = "journal"
    STORE = "store"


_KINDS = frozenset(CrashKind)


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One point: the `number`-th of its kind that the process reaches for tasks of that `name`."""

    name: str
    kind: CrashKind
    number: int


def crash_point(environment: Mapping[str, str]) -> CrashPoint | None:
    """Where the process shall die, if it shall.

    Raises:
        ValueError: the variable makes no sense; the sentence says how it must look.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    match text.rsplit(":", 2):
        case [name, kind, number] if name and kind in _KINDS and number.isdecimal() and int(number):
            return CrashPoint(name, CrashKind(kind), int(number))
        case _:
            kinds = ", ".join(CrashKind)
            raise ValueError(f"{VARIABLE} is {text!r}: give NAME:KIND:NUMBER, of {kinds}, from 1 on")


def die(words: str) -> None:
    """Be gone at once, as by a power failure of this process alone."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()  # the signal is under way


class CrashPoints:
    """Counts the points that one process reaches, from any thread; at the wanted one, the process dies."""

    def __init__(self, wanted: CrashPoint | None = None, die: Callable[[str], None] = die) -> None:
        self._wanted = wanted
        self._die = die
        self._reached = 0
        self._lock = threading.Lock()

    @property
    def name(self) -> str | None:
        """Of which tasks points are counted; None: of none."""
        return None if self._wanted is None else self._wanted.name

    def reach(self, name: str, kind: CrashKind, what: str) -> None:
        """A point of a task of that name; `what` is before or after what."""
        wanted = self._wanted
        if wanted is None or (wanted.name, wanted.kind) != (name, kind):
            return
        with self._lock:
            self._reached += 1
            if self._reached == wanted.number:
                self._die(f"crash point {wanted.number} of {name}: {kind}: {what}")

    @contextmanager
    def around(self, name: str, kind: CrashKind, what: str) -> Iterator[None]:
        """Two points: before and after an effect that does not fail."""
        self.reach(name, kind, f"before {what}")
        yield
        self.reach(name, kind, f"after {what}")
