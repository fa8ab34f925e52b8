"""Tasks: from the log to what the interface shows."""

from collections.abc import Callable

import pytest
from bus.ports import Entry
from eventhub.tasks import FINISHED_AGE_MAX_S, TaskChanges, Tasks
from schema import records
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.errors import BadPowerState, InternalError
from schema.objects.task import Completed, Completion, Failed, Pending
from schema.objects.vm import PowerState
from schema.operations import Operation, VmCheckState, VmStart
from schema.records import Record
from schema.wire.value import Dict

VM = VmId("vm1")
WORKER = WorkerName("w")


class Log:
    """Appends records to a fold, one a second."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.offset = 0

    def __call__(self, record: Record) -> TaskChanges:
        entry = Entry(Offset(self.offset), 1000.0 + self.offset, record)
        self.offset += 1
        return self.tasks.on_entry(entry)

    def submit(self, operation: Operation | None = None, reply_to: str | None = "inbox") -> TaskId:
        task = TaskId(self.offset)
        operation = operation or VmStart(vm=VM)
        self(
            records.Submitted(
                vm=VM, operation=operation, request_id="r", dbg="lab", accept_by=2e9, reply_to=reply_to
            )
        )
        return task

    def lease(self, task: TaskId) -> LeaseToken:
        term = Term(self.offset)
        self(records.Elected(redirector="r"))
        token = LeaseToken(self.offset)
        self(records.Leased(vm=VM, task=task, worker=WORKER, term=term))
        return token

    def succeed(self, task: TaskId, result: object = None) -> TaskChanges:
        outcome = records.Succeeded(result=result)
        return self(records.Finished(vm=VM, task=task, outcome=outcome, duration_s=0.5))


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


@pytest.fixture
def log(tasks: Tasks) -> Log:
    return Log(tasks)


def test_a_submitted_task_is_pending_and_shown_as_the_original_shows_it(tasks: Tasks, log: Log) -> None:
    log.submit()
    story = tasks.find(TaskId(0))
    assert story is not None
    task = story.shown()
    assert (task.id, task.dbg, task.ctime, task.backtrace) == ("0", "lab", 1000.0, "()")
    assert task.state == Pending(progress=0.0)
    assert task.debug_info == (("cancel_points_seen", "0"),)
    assert task.cancellable


def test_progress_is_shown_and_told_when_it_changes_something(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    token = log.lease(task)
    progress = records.Progress(
        vm=VM,
        task=task,
        token=token,
        fraction=0.5,
        subtasks=(("save", 0.25),),
        debug_info=(("cancel_points_seen", "3"),),
        cancellable=False,
    )
    assert log(progress).changed == [task]
    assert log(progress).changed == []
    story = tasks.find(task)
    assert story is not None
    shown = story.shown()
    assert shown.state == Pending(progress=0.5)
    assert shown.subtasks == (("save", Pending(progress=0.25)),)
    assert shown.debug_info == (("cancel_points_seen", "3"),)
    assert not shown.cancellable


def test_progress_of_a_fenced_worker_is_not_believed(log: Log) -> None:
    task = log.submit()
    log.lease(task)
    stale = records.Progress(vm=VM, task=task, token=LeaseToken(0), fraction=0.9)
    assert log(stale).changed == []


def test_a_lease_of_an_older_term_is_void(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    log(records.Elected(redirector="a"))
    log(records.Elected(redirector="b"))
    log(records.Leased(vm=VM, task=task, worker=WORKER, term=Term(1)))
    assert [story.id for story in tasks.queued()] == [task]
    assert list(tasks.running()) == []
    log(records.Leased(vm=VM, task=TaskId(99), worker=WORKER, term=Term(2)))
    log(records.Leased(vm=VM, task=task, worker=WORKER, term=Term(2)))
    assert list(tasks.queued()) == []
    assert [story.id for story in tasks.running()] == [task]


def test_the_first_end_counts(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    assert log.succeed(task).changed == [task]
    failure = records.Failed(error=InternalError(message="too late"))
    assert log(records.Finished(vm=VM, task=task, outcome=failure)).changed == []
    story = tasks.find(task)
    assert story is not None
    assert story.state == Completed(completion=Completion(duration=0.5))


def test_a_failure_carries_the_error_as_the_wire_has_it(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    error = BadPowerState(found=PowerState.RUNNING, expected=PowerState.HALTED)
    outcome = records.Failed(error=error, backtrace="((process x))")
    log(records.Finished(vm=VM, task=task, outcome=outcome, debug_info=(("cancel_points_seen", "2"),)))
    story = tasks.find(task)
    assert story is not None
    assert story.shown().state == Failed(error=["Bad_power_state", ["Running", "Halted"]])
    assert story.shown().backtrace == "((process x))"
    assert story.shown().debug_info == (("cancel_points_seen", "2"),)


def test_a_result_of_any_shape_becomes_a_wire_value(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    log.succeed(task, {"rc": 0, "out": ["x", None]})
    story = tasks.find(task)
    assert story is not None
    completion = Completion(duration=0.5, result=Dict([("rc", 0), ("out", ["x", None])]))
    assert story.state == Completed(completion=completion)


def test_a_refused_task_never_was_one(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    assert log(records.Refused(vm=VM, task=task, error=InternalError(message="full"))).gone == [task]
    assert tasks.find(task) is None


def test_merged_tasks_end_with_their_leader_in_the_same_way(tasks: Tasks, log: Log) -> None:
    leader, follower, third = log.submit(), log.submit(), log.submit()
    log(records.Merged(vm=VM, task=follower, into=leader))
    log(records.Merged(vm=VM, task=third, into=follower))
    assert [story.id for story in tasks.queued()] == [leader]
    assert log.succeed(leader).changed == [leader, follower, third]
    assert {story.state for story in tasks.all()} == {Completed(completion=Completion(duration=0.5))}


def test_a_merged_task_that_ends_by_itself_stays_ended(log: Log) -> None:
    leader, follower = log.submit(), log.submit()
    log(records.Merged(vm=VM, task=follower, into=leader))
    assert log.succeed(follower).changed == [follower]
    assert log.succeed(leader).changed == [leader]
    assert log(records.Merged(vm=VM, task=follower, into=leader)).changed == []


def test_what_is_merged_into_a_task_that_has_just_ended_runs_for_itself(log: Log) -> None:
    leader, follower = log.submit(), log.submit()
    log.succeed(leader)
    assert log(records.Merged(vm=VM, task=follower, into=leader)).changed == []
    assert log.succeed(follower).changed == [follower]


def test_a_merger_or_refusal_of_a_term_that_was_over_changes_nothing(tasks: Tasks, log: Log) -> None:
    leader, follower = log.submit(), log.submit()
    log(records.Merged(vm=VM, task=follower, into=leader, term=Term(7)))
    log(records.Refused(vm=VM, task=follower, error=InternalError(message="full"), term=Term(7)))
    assert log.succeed(leader).changed == [leader]
    assert [story.id for story in tasks.queued()] == [follower]


def test_merging_into_an_unknown_task_leaves_a_task_waiting(log: Log) -> None:
    task = log.submit()
    assert log(records.Merged(vm=VM, task=task, into=TaskId(99))).changed == []


def test_destroying_a_running_leader_does_not_strand_those_merged_into_it(tasks: Tasks, log: Log) -> None:
    leader, follower = log.submit(), log.submit()
    log(records.Merged(vm=VM, task=follower, into=leader))
    assert log(records.TaskDestroyed(vm=VM, task=leader)).gone == [leader]
    assert tasks.find(leader) is None
    assert [story.id for story in tasks.all()] == [follower]
    assert log.succeed(leader).changed == [follower]


def test_a_finished_task_is_there_until_it_is_destroyed(log: Log) -> None:
    task = log.submit()
    log.succeed(task)
    assert log(records.TaskDestroyed(vm=VM, task=task)).gone == [task]
    assert log(records.TaskDestroyed(vm=VM, task=task)).gone == []


def test_destroy_on_finish_waits_for_the_end(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    log(records.TaskDestroyed(vm=VM, task=task, on_finish=True))
    assert tasks.find(task) is not None
    changes = log.succeed(task)
    assert (changes.changed, changes.gone) == ([], [task])


def test_destroy_on_finish_of_a_finished_task_is_destroy(log: Log) -> None:
    task = log.submit()
    log.succeed(task)
    assert log(records.TaskDestroyed(vm=VM, task=task, on_finish=True)).gone == [task]


def test_a_check_that_nobody_asked_for_is_forgotten_at_its_end(log: Log) -> None:
    task = log.submit(VmCheckState(vm=VM), reply_to=None)
    assert log.succeed(task).gone == [task]


def test_finished_tasks_of_clients_that_left_are_kept_up_to_a_limit() -> None:
    tasks = Tasks(finished_max=2)
    log = Log(tasks)
    first, second, third = log.submit(), log.submit(), log.submit()
    log.succeed(first)
    log.succeed(second)
    assert log.succeed(third).gone == [first]


def test_finished_tasks_are_not_kept_for_ever(tasks: Tasks, log: Log) -> None:
    task = log.submit()
    log.succeed(task)
    later = Entry(Offset(log.offset), 1001.0 + FINISHED_AGE_MAX_S, records.Heartbeat(worker=WORKER))
    assert tasks.on_entry(later).gone == [task]


@pytest.mark.parametrize(
    "record",
    [
        lambda task: records.Progress(vm=VM, task=task, token=LeaseToken(1), fraction=0.1),
        lambda task: records.Finished(vm=VM, task=task, outcome=records.Succeeded()),
        lambda task: records.Merged(vm=VM, task=task, into=TaskId(0)),
        lambda task: records.TaskDestroyed(vm=VM, task=task),
        lambda task: records.Refused(vm=VM, task=task, error=InternalError(message="")),
        lambda task: records.CancelRequested(vm=VM, task=task),
    ],
)
def test_records_about_unknown_tasks_change_nothing(log: Log, record: Callable[[TaskId], Record]) -> None:
    assert log(record(TaskId(99))) == TaskChanges()


def test_tasks_are_listed_by_id_as_text_as_the_original_does(tasks: Tasks, log: Log) -> None:
    for _ in range(11):
        log.submit()
    assert [str(story.id) for story in tasks.all()][:4] == ["0", "1", "10", "2"]


def test_the_end_of_what_is_awaited_is_known_to_who_asks_for_it_and_shown_to_nobody_else(
    tasks: Tasks, log: Log
) -> None:
    operation = VmStart(vm=VM)
    log(records.Submitted(vm=VM, operation=operation, request_id="r", dbg="", accept_by=9.0, awaited=True))
    task = TaskId(0)
    assert tasks.find_awaited(task) is not None
    assert log.succeed(task).gone == [task]
    assert tasks.find(task) is None
    assert tasks.all() == []
    found = tasks.find_awaited(task)
    assert found is not None
    assert isinstance(found.state, Completed)
    assert log(records.TaskDestroyed(vm=VM, task=task)).gone == [task]
    assert tasks.find_awaited(task) is None
