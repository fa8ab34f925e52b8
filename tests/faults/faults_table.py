"""Faults, all of them: each crash point of each operation, each scenario under load; prints docs/faults.md.

python tests/faults/faults_table.py [EVERY]     # of so many crash points one; usually each
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from broker_points import sweep_broker
from bus.node import PrivateNode
from history import Counts
from page import Page, introduction, times, words_of
from qemu_room import OPERATIONS, TARGETS, qemu_sweep, why_not
from room import Part, Room
from storms import storms
from sweep import Operation, Result, Sweep, operations, sweep_parts, targets


@contextmanager
def own_place(name: str) -> Iterator[Path]:
    """A directory that is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix=f"xenops-{name}-"))
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def room_of(parts: Callable[[Path], tuple[Part, ...]], name: str) -> Iterator[tuple[Room, PrivateNode]]:
    """A room on a broker of its own; all of it is gone afterwards."""
    with own_place(name) as place, PrivateNode(place / "broker") as node:
        room = Room(place, node.url, parts(place))
        try:
            room.open()
            yield room, node
        finally:
            room.close()


def main(arguments: list[str]) -> int:
    """Print the page; answers 1 if anything went wrong."""
    every = int(arguments[0]) if arguments else 1
    page, began = Page(), time.monotonic()
    page.say(introduction(os.getloadavg()[0]))
    storms(page, own_place)
    for chapter in (sweep_brokers, sweep_qemu, sweep_services):
        chapter(page, every)
    minutes = (time.monotonic() - began) / 60
    page.say(f"\nAll of it took {minutes:.0f} minutes.")
    return page.close()


def sweep_services(page: Page, every: int) -> None:
    """The table of crash points."""
    share = "every one" if every == 1 else f"one of {every}"
    page.begin(f"Crash points ({share})", "operation | who dies | points | wrong | recovery p50 | max")
    with room_of(sweep_parts, "sweep") as (room, _):
        sweep = Sweep(room)
        for operation in operations(room.directory).values():
            by_part: dict[str, Result] = {}
            for target in targets(tuple(room.parts.values()), operation):
                found = sweep.run(operation, target, every=every)
                _add(by_part.setdefault(target.part, Result()), found)
            _say_results(page, operation, by_part)
        _end(page, sweep)


def sweep_qemu(page: Page, every: int) -> None:
    """The same of a worker on QEMU, whose other services are those of the simulator."""
    reason = why_not()
    if reason is not None:
        page.complain(f"QEMU was not swept: {reason}")
        return
    share = "every one" if every == 1 else f"one of {every}"
    page.begin(f"On QEMU ({share})", "operation | who dies | points | wrong | recovery p50 | max")
    with (
        own_place("qemu") as place,
        PrivateNode(place / "broker") as node,
        qemu_sweep(place, node.url) as sweep,
    ):
        for operation in OPERATIONS:
            result = Result()
            for target in TARGETS:
                _add(result, sweep.run(operation, target, every=every))
            _say_results(page, operation, {"worker": result})
        _end(page, sweep)


def sweep_brokers(page: Page, _every: int) -> None:
    """The broker killed at each record."""
    page.begin(
        "The broker dies at each record",
        "operation | who dies | points | wrong | recovery, from when it answers again, p50 | max",
    )
    with room_of(sweep_parts, "records") as (room, node):
        sweep = Sweep(room)
        every_operation = operations(room.directory)
        for name in ("start", "suspend", "migrate"):
            result = sweep_broker(sweep, node, every_operation[name])
            _say_results(page, every_operation[name], {"broker": result})
        _end(page, sweep)


def _add(all_of_it: Result, found: Result) -> None:
    all_of_it.points += found.points
    all_of_it.recoveries_s += found.recoveries_s
    all_of_it.complaints += found.complaints


def _say_results(page: Page, operation: Operation, by_part: dict[str, Result]) -> None:
    for part, result in by_part.items():
        wrong = len(result.complaints)
        page.row(operation.name, part, result.points, wrong, *times(result.recoveries_s))
        page.complain(*result.complaints)


def _end(page: Page, sweep: Sweep) -> None:
    """The verdict on all of a sweep."""
    counts: Counts = sweep.verdict(page.complain)
    sweep.close()
    if "Traceback" in sweep.room.words():
        page.complain("a service met a bug in a sweep")
    page.say(f"\nIn all: {words_of(counts)}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
