from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.journal import Journal
from schema.ids import LeaseToken, TaskId, Term, WorkerName
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState
from schema.operations import VmStart
from schema.records import Failed, Finished, Heartbeat, Leased, Started, Submitted, Succeeded
from worker_in_hand import INSTANCE, VM, WORKER, World, entry_of, failure


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


def submit(world: World) -> TaskId:
    """A start is asked for, and nobody leases it yet."""
    asked = f"request {len(world.broker.log(INSTANCE))}"
    submitted = Submitted(vm=VM, operation=VmStart(vm=VM), request_id=asked, dbg="d", accept_by=9.0)
    world.leader.append(INSTANCE, submitted)
    log = world.broker.log(INSTANCE)
    return TaskId(max(place for place, found in enumerate(log) if found.record == submitted))


def lease(world: World, task: TaskId) -> Finished:
    """What becomes of a task that is leased now."""
    world.leader.append(INSTANCE, Leased(vm=VM, task=task, worker=WORKER, term=Term(0)))
    return world.end_of(task)


def note_as_lost(world: World, last: TaskId) -> Finished:
    """A task was done under a lease in whose place the log has another record, and so were those before."""
    place = len(world.broker.log(INSTANCE))
    world.leader.append(INSTANCE, Heartbeat(worker=WorkerName("another")))
    token = LeaseToken(place)
    asked = {"token": token, "request_id": f"request {last}"}
    finished = Finished(vm=VM, task=last, outcome=Succeeded(result="as before"), token=token)
    journal = Journal(world.directory / "state" / "journal")
    journal.end(entry_of(world, last).model_copy(update=asked), finished)
    return finished


def test_however_many_tasks_of_a_vm_a_log_has_lost_the_leases_of_none_is_done_again(world: World) -> None:
    world.end()
    tasks = [submit(world) for _ in range(40)]
    told = note_as_lost(world, tasks[-1])
    world.start()
    for number, task in enumerate(tasks[:-1]):
        assert "is not begun again" in failure(lease(world, task)).message
        if number == 20:
            world.restart()
    assert lease(world, tasks[-1]).outcome == told.outcome
    assert world.state() is PowerState.HALTED
    assert isinstance(lease(world, submit(world)).outcome, Succeeded)
    assert world.state() is PowerState.PAUSED


def test_a_vm_whose_last_task_was_told_again_has_none_before_it_done_again(world: World) -> None:
    """An operator has changed their order meanwhile."""
    world.end()
    first, last = submit(world), submit(world)
    note_as_lost(world, last)
    world.start()
    assert isinstance(lease(world, last).outcome, Succeeded)
    assert "is not begun again" in failure(lease(world, first)).message
    assert world.state() is PowerState.HALTED


def test_in_a_log_that_has_lost_nothing_what_waits_is_done_in_whatever_order_and_by_whichever_life(
    world: World,
) -> None:
    tasks = [submit(world) for _ in range(6)]
    for task in (tasks[3], tasks[0], tasks[5]):
        assert isinstance(lease(world, task).outcome, Succeeded | Failed)
        world.restart()
    for task in (tasks[2], tasks[4], tasks[1]):
        finished = lease(world, task)
        assert "begun" not in finished.outcome.model_dump_json()


def test_a_lease_older_than_the_last_execution_is_not_obeyed_and_its_task_ends(world: World) -> None:
    finished = Finished(vm=VM, task=TaskId(98), outcome=Succeeded(), token=LeaseToken(99))
    Journal(world.directory / "state" / "journal").end(entry_of(world, TaskId(98)), finished)
    ended = world.run(VmStart(vm=VM))
    assert isinstance(ended.outcome, Failed)
    assert isinstance(ended.outcome.error, InternalError)
    assert "came before it" in ended.outcome.error.message
    assert world.state() is PowerState.HALTED
    assert not any(isinstance(record, Started) for record in world.records)


def begin_as_dead(world: World, task: TaskId, token: int) -> Journal:
    """A worker of this host has died in a task under that lease."""
    journal = Journal(world.directory / "state" / "journal")
    asked = {"token": LeaseToken(token), "request_id": f"request {task}"}
    journal.begin(entry_of(world, task).model_copy(update=asked))
    return journal


def is_put_right(journal: Journal) -> bool:
    """Whether the journal says that what the dead worker was at has ended, and how."""
    noted = journal.read(VM)
    assert noted is not None
    return noted.finished is not None and "was restarted" in failure(noted.finished).message


def test_what_is_put_right_by_a_task_that_is_then_not_obeyed_is_noted_as_ended(world: World) -> None:
    journal = begin_as_dead(world, TaskId(98), 99)
    assert "came before it" in failure(world.run(VmStart(vm=VM))).message
    assert is_put_right(journal)


def test_what_is_put_right_by_a_task_that_is_then_not_begun_again_is_noted_as_ended(world: World) -> None:
    first, last = submit(world), submit(world)
    place = len(world.broker.log(INSTANCE))
    world.leader.append(INSTANCE, Heartbeat(worker=WorkerName("another")))
    journal = begin_as_dead(world, last, place)
    assert "is not begun again" in failure(lease(world, first)).message
    assert is_put_right(journal)
    assert "was restarted" in failure(lease(world, last)).message
    assert world.state() is PowerState.HALTED
