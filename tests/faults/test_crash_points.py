"""Each service dies at crash points of each operation; a sample here, every one by `make faults`."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.crash import CrashKind
from room import Room
from stack.broker.node import PrivateNode
from sweep import Sweep, Target, operations, sweep_parts, targets

EVERY = 9
"""Of so many points one is met here."""


@pytest.fixture(name="sweep", scope="module")
def open_sweep(place: Path, node: PrivateNode) -> Iterator[Sweep]:
    room = Room(place, node.url, sweep_parts(place))
    try:
        room.open()
        sweep = Sweep(room)
        yield sweep
        sweep.close()
    finally:
        room.close()


CHOSEN = {
    "start": ("redirector", CrashKind.READ),
    "shutdown": ("worker-here", CrashKind.STEP),
    "reboot": ("redirector", CrashKind.APPEND),
    "suspend": ("worker-here", CrashKind.JOURNAL),
    "resume": ("eventhub", CrashKind.READ),
    "migrate": ("worker-there", CrashKind.STEP),
}
"""Who dies in which operation, and where; the other pairs are met by `make faults` only."""


@pytest.mark.parametrize("name", CHOSEN)
def test_wherever_a_service_dies_the_task_ends_once_and_the_vm_is_whole(sweep: Sweep, name: str) -> None:
    operation = operations(sweep.room.directory)[name]
    target = Target(*CHOSEN[name])
    assert target in targets(tuple(sweep.room.parts.values()), operation)
    first = 1 + zlib.crc32(name.encode()) % 2
    result = sweep.run(operation, target, first=first, every=EVERY if target.kind is CrashKind.STEP else 3)
    assert result.points > 0
    assert result.complaints == []


def test_a_service_dies_on_both_sides_of_a_word_to_a_frontend(sweep: Sweep) -> None:
    operation = operations(sweep.room.directory)["start"]
    for part in ("redirector", "frontend-here"):
        assert sweep.run(operation, Target(part, CrashKind.TELL), every=2).complaints == []


def test_after_all_that_nothing_is_lost_run_twice_or_stuck(sweep: Sweep) -> None:
    counts = sweep.verdict()
    print(counts)  # noqa: T201  what was counted
    assert counts.promised > 0
    assert counts.clean
    assert sweep.room.dead() == []
    assert sweep.room.bug() == ""
