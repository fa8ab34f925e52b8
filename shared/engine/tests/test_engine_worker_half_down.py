"""A worker dies while it takes a VM down: the VM is whole afterwards, or halted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vbd
from engine.journal import Journal, JournalEntry
from schema.ids import LeaseToken, TaskId
from schema.objects.disk import LocalDisk
from schema.objects.vm import PowerState
from schema.operations import Operation, VmPoweroff, VmReboot, VmResume, VmShutdown, VmStart, VmSuspend
from schema.records import Leased, Succeeded
from worker_in_hand import INSTANCE, VM, World


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


HARD = [VmPoweroff(vm=VM), VmShutdown(vm=VM)]
OTHERS = [
    VmPoweroff(vm=VM, timeout_s=60.0),
    VmReboot(vm=VM),
    VmSuspend(vm=VM, image=LocalDisk(path="/nowhere")),
]


@pytest.mark.parametrize("is_unplugged", [False, True], ids=["with its disk", "without its disk"])
@pytest.mark.parametrize("operation", [*HARD, *OTHERS], ids=lambda operation: operation.kind)
def test_a_vm_that_is_half_down_is_halted_and_a_whole_one_lives_unless_it_was_to_die_at_once(
    world: World, operation: Operation, *, is_unplugged: bool
) -> None:
    world.run(VmStart(vm=VM))
    if is_unplugged:
        world.backend.vbd.deactivate(SuiteExecution(), VM, sample_vbd(), force=True)
        world.backend.vbd.detach(SuiteExecution(), VM, sample_vbd())
    world.end()
    task = dies_while_it_executes(world, operation)
    world.start()
    assert not isinstance(world.end_of(task).outcome, Succeeded)
    lives = operation in OTHERS and not is_unplugged
    assert world.state() is (PowerState.PAUSED if lives else PowerState.HALTED)


def test_a_vm_that_is_saved_and_not_yet_down_is_suspended_for_good_and_resumes(
    world: World, tmp_path: Path
) -> None:
    world.run(VmStart(vm=VM))
    image = LocalDisk(path=str(tmp_path / "image"))
    world.backend.vm.save(SuiteExecution(), world.store.read(VM), image, live=False)
    world.end()
    dies_while_it_executes(world, VmSuspend(vm=VM, image=image))
    world.start()
    world.run(VmResume(vm=VM, image=image))
    assert world.state() is PowerState.PAUSED


def dies_while_it_executes(world: World, operation: Operation) -> TaskId:
    """A task that is leased and begun, of which nothing more was written."""
    task = world.lease(operation)
    log = world.broker.log(INSTANCE)
    token = max(at for at, found in enumerate(log) if isinstance(found.record, Leased))
    entry = JournalEntry(vm=VM, task=task, token=LeaseToken(token), life=log[0].at, operation=operation)
    Journal(world.directory / "state" / "journal").begin(entry)
    return task
