"""What a running task says."""

from engine.cancellation import Cancellation
from engine.worker.core import Lease
from engine.worker.reporter import Reporter
from schema.ids import LeaseToken, TaskId, VmId, WorkerName
from schema.operations import VmStart
from schema.records import Record, Started, Submitted

VM = VmId("vm")
WORKER = WorkerName("w")


def reporter(told: list[Record]) -> Reporter:
    submitted = Submitted(vm=VM, operation=VmStart(vm=VM), request_id="r", dbg="d", accept_by=0.0)
    lease = Lease(TaskId(1), LeaseToken(2), submitted, 0.0)
    return Reporter(lease, Cancellation(TaskId(1)), told.append)


def test_a_task_that_is_over_soon_says_nothing_before_its_end() -> None:
    told: list[Record] = []
    one = reporter(told)
    one.begin(WORKER, tell=False)
    assert one.rest() == ()
    one.tell_if_due()
    assert told == []


def test_a_task_that_goes_on_after_a_pause_says_so_at_once_and_once() -> None:
    told: list[Record] = []
    one = reporter(told)
    one.begin(WORKER, tell=True)
    one.tell_if_due()
    assert told == [Started(vm=VM, task=TaskId(1), token=LeaseToken(2), worker=WORKER)]
