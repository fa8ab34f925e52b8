from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.journal import Journal
from schema.ids import LeaseToken, TaskId
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState
from schema.operations import VmStart
from schema.records import Failed, Finished, Started, Succeeded
from worker_in_hand import VM, World, entry_of, failure


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.mark.parametrize("later", [-2, 0, 3])
def test_a_finished_task_whose_record_was_lost_is_told_again_also_if_its_lease_was(
    world: World, later: int
) -> None:
    world.end()
    task = world.lease(VmStart(vm=VM))
    begun = entry_of(world, task)
    finished = Finished(vm=VM, task=task, outcome=Succeeded(result="as before"), token=begun.token)
    was = {"token": LeaseToken(begun.token + later)}
    before = begun.model_copy(update={**was, "request_id": f"request {task}"})
    Journal(world.directory / "state" / "journal").end(before, finished.model_copy(update=was))
    world.start()
    assert world.end_of(task) == finished
    assert world.state() is PowerState.HALTED


def test_what_was_done_before_the_last_task_of_its_vm_is_not_done_again_by_a_lease_that_came_anew(
    world: World,
) -> None:
    world.end()
    task = world.lease(VmStart(vm=VM))
    journal = Journal(world.directory / "state" / "journal")
    last = entry_of(world, TaskId(-1)).model_copy(update={"earlier": (f"request {task}",)})
    journal.end(last, Finished(vm=VM, task=TaskId(-1), outcome=Succeeded(), token=last.token))
    world.start()
    assert "is not begun again" in failure(world.end_of(task)).message
    assert world.state() is PowerState.HALTED


def test_a_lease_older_than_the_last_execution_is_not_obeyed_and_its_task_ends(world: World) -> None:
    finished = Finished(vm=VM, task=TaskId(98), outcome=Succeeded(), token=LeaseToken(99))
    Journal(world.directory / "state" / "journal").end(entry_of(world, TaskId(98)), finished)
    ended = world.run(VmStart(vm=VM))
    assert isinstance(ended.outcome, Failed)
    assert isinstance(ended.outcome.error, InternalError)
    assert "came before it" in ended.outcome.error.message
    assert world.state() is PowerState.HALTED
    assert not any(isinstance(record, Started) for record in world.records)
