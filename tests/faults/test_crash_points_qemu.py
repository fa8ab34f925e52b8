"""A worker on QEMU dies as it starts, stops, reboots VMs; a sample here, every point by `make faults`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.crash import CrashKind
from qemu_room import OPERATIONS, WORKER, qemu_sweep, why_not
from stack.broker.node import PrivateNode
from sweep import Operation, Sweep, Target

FIRST, EVERY = 5, 15
"""Before a disk is plugged, for one; and of so many points one."""


@pytest.fixture(name="sweep", scope="module")
def open_sweep(place: Path, node: PrivateNode) -> Iterator[Sweep]:
    reason = why_not()
    if reason is not None:
        pytest.skip(f"QEMU is not there, `make setup` installs it: {reason}")
    with qemu_sweep(place, node.url) as sweep:
        yield sweep


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_wherever_a_worker_dies_the_vm_is_whole_or_gone(sweep: Sweep, operation: Operation) -> None:
    result = sweep.run(operation, Target(WORKER, CrashKind.STEP), first=FIRST, every=EVERY)
    assert result.points > 0
    assert result.complaints == []


def test_after_all_that_nothing_is_lost_run_twice_or_stuck(sweep: Sweep) -> None:
    counts = sweep.verdict()
    assert counts.promised > 0
    assert counts.clean
    assert sweep.room.dead() == []
    assert sweep.room.bug() == ""
