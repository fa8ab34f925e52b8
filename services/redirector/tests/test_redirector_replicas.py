from bus.ports import Entry
from redirector.brief import brief_of
from redirector.core import Redirector
from redirector.effects import Append
from redirector.lane import Waiting
from redirector.lanes import Lanes
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.errors import InternalError
from schema.operations import Operation, VmCheckState, VmPoweroff, VmStart
from schema.records import (
    CancelRequested,
    Elected,
    Finished,
    Leased,
    Merged,
    Record,
    Refused,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerUp,
)

VM = VmId("vm")
WORKER = WorkerName("w")


def start() -> VmStart:
    return VmStart(vm=VM)


def test_a_lease_of_a_worker_that_nobody_knows_still_holds_the_lane() -> None:
    redirector = Redirector("me")
    redirector.on_entry(Entry(Offset(0), 0.0, Elected(redirector="other")), 0.0)
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    redirector.on_entry(Entry(Offset(1), 0.0, submitted), 0.0)
    lease = Leased(vm=VM, task=TaskId(1), worker=WorkerName("ghost"), term=Term(0))
    redirector.on_entry(Entry(Offset(2), 0.0, lease), 0.0)
    assert redirector.lanes.leased(VM) == TaskId(1)
    worker = redirector.workers.get(WorkerName("ghost"))
    assert worker is not None
    assert worker.leases[TaskId(1)].token == LeaseToken(2)


def test_a_lease_of_a_task_that_has_ended_before_holds_no_lane() -> None:
    redirector = Redirector("me")
    history: tuple[Record, ...] = (
        Elected(redirector="other"),
        Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0),
        Finished(vm=VM, task=TaskId(1), outcome=Succeeded()),
        Leased(vm=VM, task=TaskId(1), worker=WORKER, term=Term(0)),
    )
    for offset, record in enumerate(history):
        redirector.on_entry(Entry(Offset(offset), 0.0, record), 0.0)
    assert redirector.lanes.leased(VM) is None
    assert redirector.workers.lease_of(TaskId(1)) is None


def test_a_lease_that_was_not_written_before_a_new_election_is_given_again() -> None:
    redirector = Redirector("me")
    redirector.on_entry(Entry(Offset(0), 0.0, Elected(redirector="me")), 0.0)
    redirector.on_entry(Entry(Offset(1), 0.0, WorkerUp(worker=WORKER, epoch="1", capacity=1)), 0.0)
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    first = redirector.on_entry(Entry(Offset(2), 0.0, submitted), 0.0)
    assert isinstance(first[-1], Append)
    again = redirector.on_entry(Entry(Offset(3), 0.0, Elected(redirector="me")), 0.0)
    assert again == [Append(Leased(vm=VM, task=TaskId(2), worker=WORKER, term=Term(3)))]


def test_only_the_lease_that_a_lane_has_is_given_back() -> None:
    lanes = Lanes()
    assert lanes.give_back(VM, TaskId(1)) is None
    lanes.push(Waiting(TaskId(2), VM, brief_of(start()), "r", 0.0, 9.0))
    lanes.lease(TaskId(2))
    assert lanes.give_back(VM, TaskId(1)) is None
    assert lanes.leased(VM) == TaskId(2)


def test_a_task_that_another_leader_refused_waits_no_more_and_no_repeat_of_it_does() -> None:
    redirector = Redirector("standby")
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    redirector.on_entry(Entry(Offset(0), 0.0, submitted), 0.0)
    refused = Refused(vm=VM, task=TaskId(0), error=InternalError(message="full"))
    redirector.on_entry(Entry(Offset(1), 0.0, refused), 0.0)
    assert len(redirector.lanes) == 0
    redirector.on_entry(Entry(Offset(2), 0.0, submitted), 0.0)
    assert len(redirector.lanes) == 0


def test_a_cancel_that_no_leader_saw_is_done_by_the_next() -> None:
    redirector = Redirector("me")
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    redirector.on_entry(Entry(Offset(0), 0.0, submitted), 0.0)
    redirector.on_entry(Entry(Offset(1), 0.0, CancelRequested(vm=VM, task=TaskId(0))), 0.0)
    effects = redirector.on_entry(Entry(Offset(2), 0.0, Elected(redirector="me")), 0.0)
    finished = [effect.record for effect in effects if isinstance(effect, Append)]
    assert [record.task for record in finished if isinstance(record, Finished)] == [TaskId(0)]


def elect_after(*operations: Operation) -> list[Record]:
    """What a standby writes when elected that has read these submissions, and no word of a leader on them."""
    redirector = Redirector("me")
    for offset, operation in enumerate(operations):
        submitted = Submitted(vm=VM, operation=operation, request_id=f"r{offset}", dbg="", accept_by=9.0)
        redirector.on_entry(Entry(Offset(offset), 0.0, submitted), 0.0)
    elected = Entry(Offset(len(operations)), 0.0, Elected(redirector="me"))
    return [effect.record for effect in redirector.on_entry(elected, 0.0) if isinstance(effect, Append)]


def test_a_merger_that_no_leader_wrote_is_written_by_the_next() -> None:
    written = elect_after(VmCheckState(vm=VM), start(), VmCheckState(vm=VM))
    assert written == [Merged(vm=VM, task=TaskId(2), into=TaskId(0), term=Term(3))]


def test_a_merger_that_comes_too_late_leaves_its_task_to_run() -> None:
    redirector = Redirector("standby")
    check = Submitted(vm=VM, operation=VmCheckState(vm=VM), request_id="r", dbg="", accept_by=9.0)
    history: tuple[Record, ...] = (
        check,
        check.model_copy(update={"request_id": "s"}),
        Finished(vm=VM, task=TaskId(0), outcome=Succeeded()),
        Merged(vm=VM, task=TaskId(1), into=TaskId(0)),
    )
    for offset, record in enumerate(history):
        redirector.on_entry(Entry(Offset(offset), 0.0, record), 0.0)
    assert [task.id for task in redirector.lanes.waiting(VM)] == [TaskId(1)]


def test_a_clean_stop_that_no_leader_ended_for_a_forced_one_is_ended_by_the_next() -> None:
    [ended] = elect_after(VmPoweroff(vm=VM, timeout_s=60.0), VmPoweroff(vm=VM))
    assert isinstance(ended, Finished)
    assert ended.task == TaskId(0)


def test_a_repeat_that_no_leader_refused_is_refused_by_the_next() -> None:
    redirector = Redirector("me")
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    for offset in range(2):
        redirector.on_entry(Entry(Offset(offset), 0.0, submitted), 0.0)
    [refusal] = redirector.on_entry(Entry(Offset(2), 0.0, Elected(redirector="me")), 0.0)
    assert isinstance(refusal, Append)
    assert isinstance(refusal.record, Refused)
    redirector.on_entry(Entry(Offset(3), 0.0, refusal.record), 0.0)
    assert redirector.on_entry(Entry(Offset(4), 0.0, Elected(redirector="me")), 0.0) == []


def leading_with_a_lease() -> Redirector:
    """A leader that has read of one worker, and of a task that runs there."""
    redirector = Redirector("me")
    history: tuple[Record, ...] = (
        Elected(redirector="me"),
        WorkerUp(worker=WORKER, epoch="1", capacity=1),
        Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0),
        Leased(vm=VM, task=TaskId(2), worker=WORKER, term=Term(0)),
    )
    for offset, record in enumerate(history):
        redirector.on_entry(Entry(Offset(offset), 0.0, record), 0.0)
    return redirector


def test_what_a_worker_had_not_ended_when_it_left_fails_once_it_is_silent() -> None:
    redirector = leading_with_a_lease()
    redirector.on_entry(Entry(Offset(4), 0.0, WorkerDown(worker=WORKER, epoch="1")), 0.0)
    assert redirector.on_time(10.0) == []
    [ended] = redirector.on_time(11.0)
    assert isinstance(ended, Append)
    assert isinstance(ended.record, Finished)
    assert redirector.on_time(12.0) == []
    redirector.on_entry(Entry(Offset(5), 12.0, ended.record), 12.0)
    assert redirector.lanes.leased(VM) is None


def test_a_worker_that_objects_to_its_loss_keeps_its_tasks() -> None:
    redirector = leading_with_a_lease()
    down = WorkerDown(worker=WORKER, epoch="1")
    assert redirector.on_time(60.0) == [Append(down)]
    assert redirector.on_time(90.0) == []  # the log takes nothing, perhaps: then nobody can be heard
    redirector.on_entry(Entry(Offset(4), 91.0, down), 91.0)
    redirector.on_entry(Entry(Offset(5), 92.0, WorkerUp(worker=WORKER, epoch="1", capacity=1)), 92.0)
    assert redirector.on_time(110.0) == []
    assert redirector.lanes.leased(VM) == TaskId(2)


def test_a_new_leader_waits_for_signs_of_life_before_it_suspects_anybody() -> None:
    redirector = leading_with_a_lease()
    redirector.on_entry(Entry(Offset(4), 600.0, Elected(redirector="me")), 600.0)
    assert redirector.on_time(619.0) == []


def test_checks_that_came_and_went_leave_nothing_behind() -> None:
    redirector = Redirector("standby")
    for number in range(10):
        vm = VmId(f"vm{number}")
        check = Submitted(vm=vm, operation=VmCheckState(vm=vm), request_id=vm, dbg="", accept_by=9.0)
        redirector.on_entry(Entry(Offset(2 * number), 0.0, check), 0.0)
        ended = Finished(vm=vm, task=TaskId(2 * number), outcome=Succeeded())
        redirector.on_entry(Entry(Offset(2 * number + 1), 0.0, ended), 0.0)
    assert redirector.lanes._lanes == {}
