"""Faults, all of them: each crash point of each operation, each scenario under load; prints docs/faults.md.

python tests/faults/faults_table.py [EVERY]     # of so many crash points one; usually each
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.node import PrivateNode
from history import Counts
from room import Part, Room, usual_parts
from scenarios import (
    Fire,
    Outcome,
    broker_restarts,
    disk_alarm,
    leader_dies,
    memory_alarm,
    restarts,
    rolls,
)
from sweep import Operation, Result, Sweep, operations, sweep_parts, targets

INTRODUCTION = """\
# Faults

What becomes of tasks when processes die, stand still or are cut off: written by `make faults`, on real
RabbitMQ and real processes, worker-sim on its simulator. A crash point is a place before or after an effect
of a task (`shared/bus/bus/crash.py`); the process is killed there by SIGKILL, and started anew. Under load,
six clients lead VMs through their lives meanwhile, and a mirror follows UPDATES.get. Afterwards the whole
log, what clients were promised and told, which hooks ran and what every VM is like are compared
(`tests/faults/history.py`).

*lost*: promised, and not in the log, forgotten, or told otherwise than the log has it. *duplicated*: leased
or run twice, or a lease beside another of that VM. *stuck*: never ended. *invalid*: a VM that is neither
whole nor gone. *missed*: a VM of which the mirror has a wrong state. Recovery is from the fault to the end
of the operation, or, under load, of the first task that was asked for after it.
"""


@contextmanager
def room_of(parts: Callable[[Path], tuple[Part, ...]], name: str) -> Iterator[tuple[Room, PrivateNode]]:
    """A room on a broker of its own; all of it is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix=f"xenops-{name}-"))
    try:
        with PrivateNode(place / "broker") as node:
            room = Room(place, node.url, parts(place))
            try:
                room.open()
                yield room, node
            finally:
                room.close()
    finally:
        shutil.rmtree(place)


def main(arguments: list[str]) -> int:
    """Print the page; answers 1 if anything went wrong."""
    every = int(arguments[0]) if arguments else 1
    say(INTRODUCTION)
    complaints = [*sweep_all(every), *burn_all()]
    if complaints:
        say("\n## What went wrong\n")
        for complaint in complaints:
            say(f"- {complaint}")
    return 1 if complaints else 0


def sweep_all(every: int) -> list[str]:
    """The table of crash points."""
    share = "every one" if every == 1 else f"one of {every}"
    say(f"## Crash points ({share})\n")
    say("| operation | who dies | points | wrong | recovery p50 | max |\n|---|---|---|---|---|---|")
    complaints: list[str] = []
    with room_of(sweep_parts, "sweep") as (room, _):
        sweep = Sweep(room)
        for operation in operations(room.directory).values():
            complaints += sweep_one(sweep, operation, every)
        counts = sweep.verdict()
        sweep.close()
        if "Traceback" in room.words():
            complaints.append("a service met a bug in the sweep")
    say(f"\nIn all: {words_of(counts)}.\n")
    return complaints if counts.clean else [*complaints, f"sweep: {words_of(counts)}"]


def sweep_one(sweep: Sweep, operation: Operation, every: int) -> list[str]:
    """One operation's lines: one for each process."""
    by_part: dict[str, Result] = {}
    for target in targets(tuple(sweep.room.parts.values()), operation):
        found = sweep.run(operation, target, every=every)
        all_of_it = by_part.setdefault(target.part, Result())
        all_of_it.points += found.points
        all_of_it.recoveries_s += found.recoveries_s
        all_of_it.complaints += found.complaints
    for part, result in by_part.items():
        wrong = len(result.complaints)
        say(f"| {operation.name} | {part} | {result.points} | {wrong} | {times(result.recoveries_s)} |")
    return [complaint for result in by_part.values() for complaint in result.complaints]


def burn_all() -> list[str]:
    """The table of what happens under load."""
    say("## Under load\n")
    say("| fault | times | promised | lost | duplicated | stuck | invalid | missed | recovery p50 | max |")
    say("|---|---|---|---|---|---|---|---|---|---|")
    complaints, passages_s = [], list[float]()
    with room_of(lambda _: usual_parts(copies=2), "fire") as (room, node):
        for name, faults in scenarios(room, node, passages_s):
            outcome = Fire(room).run(*faults)
            say_outcome(name, outcome)
            complaints += [f"{name}: {complaint}" for complaint in outcome.complaints]
            complaints += [] if outcome.counts.clean else [f"{name}: {words_of(outcome.counts)}"]
    say(f"\nLeadership passes, from SIGKILL to the next lease: p50 | max: {times(passages_s)}.")
    return complaints


def scenarios(
    room: Room, node: PrivateNode, passages_s: list[float]
) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """Each by its name, with what is done."""
    for name in ("worker", "frontend", "eventhub"):
        yield f"kill -9 {name}", [restarts(room, name)] * 5
    yield "kill -9 the leading redirector", [leader_dies(room, passages_s)] * 10
    yield "kill -9 the broker", [broker_restarts(node)] * 3
    yield "rolling restart of every service", [rolls(room)]
    yield "memory alarm", [memory_alarm(room, node)]
    yield "disk alarm", [disk_alarm(room, node)]


def say_outcome(name: str, outcome: Outcome) -> None:
    """A line of the table."""
    counts = " | ".join(map(str, outcome.counts.all))
    say(f"| {name} | {outcome.faults} | {counts} | {times(outcome.recoveries_s)} |")


def times(found_s: list[float]) -> str:
    """The median and the most, in seconds."""
    if not found_s:
        return "- | -"
    return f"{statistics.median(found_s):.2f} s | {max(found_s):.2f} s"


def words_of(counts: Counts) -> str:
    """All counts, by name."""
    names = ("promised", "lost", "duplicated", "stuck", "invalid", "missed")
    return ", ".join(f"{name} {count}" for name, count in zip(names, counts.all, strict=True))


def say(line: str) -> None:
    """A line of the page, at once: it takes a while."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
