"""Page: docs/faults.md as it comes to be, a line at a time, and what went wrong at its end."""

from __future__ import annotations

import statistics
import sys

from history import Counts

INTRODUCTION = """\
# Faults

What becomes of tasks when processes die, stand still or are cut off: written by `make faults`, on real
RabbitMQ and real processes, worker-sim on its simulator, or worker-kvm on real QEMU. A crash point is a place
before or after an effect of a task (`shared/bus/bus/crash.py`); the process is killed there by SIGKILL, and
started anew. Under load, six clients lead VMs through their lives meanwhile, and a mirror follows
UPDATES.get. Afterwards the whole log, what clients were promised and told, which hooks ran and what every VM
is like are compared (`tests/faults/history.py`).

*lost*: promised, and not in the log, forgotten, or told otherwise than the log has it. *duplicated*: leased
or run twice, or a lease beside another of that VM. *stuck*: never ended. *invalid*: a VM that is neither
whole nor gone. *missed*: a VM of which the mirror has a wrong state. Recovery is from the fault to the end
of the operation, or, under load, of the first task that was asked for after it.
"""


class Page:
    """Prints lines at once, for it takes a while, and keeps what went wrong."""

    def __init__(self) -> None:
        self._complaints: list[str] = []

    def say(self, line: str) -> None:
        """A line of the page."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def begin(self, title: str, columns: str) -> None:
        """A table."""
        self.say(f"\n## {title}\n\n| {columns} |\n|{'---|' * (1 + columns.count('|'))}")

    def row(self, *cells: object) -> None:
        """A line of a table."""
        self.say("| " + " | ".join(map(str, cells)) + " |")

    def complain(self, *words: str) -> None:
        """Things that went wrong."""
        self._complaints += words

    def close(self) -> int:
        """The end of the page; answers 1 if anything went wrong."""
        if self._complaints:
            self.say("\n## What went wrong\n")
        for complaint in self._complaints:
            self.say(f"- {complaint}")
        return 1 if self._complaints else 0


def introduction(load: float) -> str:
    """What the page is about, and how busy the machine is as it begins: recovery is slow on a busy one."""
    return f"{INTRODUCTION}\nWhen this run began, {load:.0f} processes wanted the machine's processors.\n"


def times(found_s: list[float]) -> tuple[str, str]:
    """The median and the most, in seconds."""
    if not found_s:
        return "-", "-"
    return f"{statistics.median(found_s):.2f} s", f"{max(found_s):.2f} s"


def words_of(counts: Counts) -> str:
    """All counts, by name."""
    names = ("promised", "lost", "duplicated", "stuck", "invalid", "missed")
    return ", ".join(f"{name} {count}" for name, count in zip(names, counts.all, strict=True))
