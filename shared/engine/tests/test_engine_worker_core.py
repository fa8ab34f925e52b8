import pytest
from bus.ports import Entry
from engine.worker.core import Append, Cancel, Effect, Fence, Run, WorkerCore
from engine.worker.service import vm_of
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.dynamic import TaskObject, VbdObject, VmObject
from schema.operations import VmStart
from schema.records import (
    CancelRequested,
    Changed,
    Elected,
    Finished,
    Heartbeat,
    Leased,
    Merged,
    Record,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerUp,
)
from schema.wire.types import DeviceId

VM = VmId("v1")
ME = WorkerName("me")
UP = WorkerUp(worker=ME, epoch="e", capacity=2)


class Log:
    """A log and the core that reads it."""

    def __init__(self, *, live: bool = True) -> None:
        self.core = WorkerCore(ME, "e", 2)
        self._length = 0
        self.term = self.append(Elected(redirector="r"))[0]
        if live:
            self.core.on_live()

    def append(self, record: Record) -> tuple[int, list[Effect]]:
        offset = self._length
        self._length += 1
        return offset, self.core.on_entry(Entry(Offset(offset), 0.0, record))

    def submit(self) -> TaskId:
        submitted = Submitted(vm=VM, operation=VmStart(vm=VM), request_id="r", dbg="d", accept_by=9.0)
        return TaskId(self.append(submitted)[0])

    def lease(self, task: TaskId, worker: WorkerName = ME, term: int | None = None) -> list[Effect]:
        found = Term(self.term if term is None else term)
        return self.append(Leased(vm=VM, task=task, worker=worker, term=found))[1]


def test_a_lease_of_ours_is_run_with_its_offset_as_token() -> None:
    log = Log()
    task = log.submit()
    (effect,) = log.lease(task)
    assert isinstance(effect, Run)
    assert (effect.lease.task, effect.lease.token, effect.cancelled) == (task, LeaseToken(2), False)


def test_a_lease_of_another_worker_or_an_older_term_is_not_run() -> None:
    log = Log()
    task = log.submit()
    assert log.lease(task, WorkerName("other")) == []
    assert log.lease(task, term=-7) == []
    assert log.lease(TaskId(99)) == []


def test_nothing_is_run_before_the_log_is_read_and_then_what_is_still_leased() -> None:
    log = Log(live=False)
    done, waiting = log.submit(), log.submit()
    assert log.lease(done) == []
    log.append(Finished(vm=VM, task=done, outcome=Succeeded()))
    assert log.lease(waiting) == []
    log.append(CancelRequested(vm=VM, task=waiting))
    up, run = log.core.on_live()
    assert up == Append(UP)
    assert isinstance(run, Run)
    assert (run.lease.task, run.cancelled) == (waiting, True)


def test_a_cancel_reaches_what_runs_here_only() -> None:
    log = Log()
    task = log.submit()
    assert log.append(CancelRequested(vm=VM, task=task))[1] == []
    log.lease(task)
    assert log.append(CancelRequested(vm=VM, task=task))[1] == [Cancel(task)]


def test_a_task_that_others_have_ended_is_fenced() -> None:
    log = Log()
    task = log.submit()
    log.lease(task)
    finished = Finished(vm=VM, task=task, outcome=Succeeded())
    assert log.append(finished)[1] == [Fence(task)]
    assert log.append(finished)[1] == []


def test_a_worker_shows_that_it_lives_with_what_it_runs() -> None:
    log = Log()
    log.lease(log.submit())
    assert log.core.on_time() == [Append(Heartbeat(worker=ME, tokens=(LeaseToken(2),)))]
    assert Log(live=False).core.on_time() == []


def test_a_worker_that_was_thought_lost_says_that_it_is_up() -> None:
    log = Log()
    assert log.append(WorkerDown(worker=ME, epoch="e"))[1] == [Append(UP)]
    assert log.append(WorkerDown(worker=ME, epoch="earlier"))[1] == []


def test_a_worker_that_stops_is_down_and_one_that_grows_says_so() -> None:
    log = Log()
    assert log.core.on_capacity(5) == [Append(UP.model_copy(update={"capacity": 5}))]
    assert log.core.on_stop() == [Append(WorkerDown(worker=ME, epoch="e"))]


def test_what_was_merged_is_forgotten_and_what_others_report_decides_nothing() -> None:
    log = Log()
    task = log.submit()
    log.append(Merged(vm=VM, task=task, into=TaskId(0)))
    log.append(Changed(vm=VM, changed=()))
    assert log.lease(task) == []


@pytest.mark.parametrize(
    ("changed", "vm"),
    [(VmObject(id="v"), "v"), (VbdObject(id=DeviceId("v", "x")), "v"), (TaskObject(id="1"), None)],
)
def test_an_object_belongs_to_its_vm(changed: VmObject | VbdObject | TaskObject, vm: str | None) -> None:
    assert vm_of(changed) == vm
