from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.errors import InternalError
from schema.operations import VmCheckState, VmStart
from schema.records import CancelRequested, Elected, Finished, Leased, Refused, Submitted, Succeeded, WorkerUp

VM = VmId("vm")
WORKER = WorkerName("w")


def start() -> VmStart:
    return VmStart(vm=VM)


def test_a_lease_of_a_worker_that_nobody_knows_still_holds_the_lane() -> None:
    redirector = Redirector("me")
    redirector.on_entry(Entry(Offset(0), 0.0, Elected(redirector="other")), 0.0)
    lease = Leased(vm=VM, task=TaskId(9), worker=WorkerName("ghost"), term=Term(0))
    redirector.on_entry(Entry(Offset(1), 0.0, lease), 0.0)
    assert redirector.lanes.leased(VM) == TaskId(9)
    worker = redirector.workers.get(WorkerName("ghost"))
    assert worker is not None
    assert worker.leases[TaskId(9)].token == LeaseToken(1)


def test_a_lease_that_was_not_written_before_a_new_election_is_given_again() -> None:
    redirector = Redirector("me")
    redirector.on_entry(Entry(Offset(0), 0.0, Elected(redirector="me")), 0.0)
    redirector.on_entry(Entry(Offset(1), 0.0, WorkerUp(worker=WORKER, epoch="1", capacity=1)), 0.0)
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    first = redirector.on_entry(Entry(Offset(2), 0.0, submitted), 0.0)
    assert isinstance(first[-1], Append)
    redirector.on_entry(Entry(Offset(3), 0.0, Elected(redirector="me")), 0.0)
    assert redirector.lanes.leased(VM) is None


def test_a_task_that_another_leader_refused_waits_no_more() -> None:
    redirector = Redirector("standby")
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    redirector.on_entry(Entry(Offset(0), 0.0, submitted), 0.0)
    refused = Refused(vm=VM, task=TaskId(0), error=InternalError(message="full"))
    redirector.on_entry(Entry(Offset(1), 0.0, refused), 0.0)
    assert len(redirector.lanes) == 0
    redirector.on_entry(Entry(Offset(2), 0.0, submitted), 0.0)
    assert len(redirector.lanes) == 1


def test_a_cancel_that_no_leader_saw_is_done_by_the_next() -> None:
    redirector = Redirector("me")
    submitted = Submitted(vm=VM, operation=start(), request_id="r", dbg="", accept_by=9.0)
    redirector.on_entry(Entry(Offset(0), 0.0, submitted), 0.0)
    redirector.on_entry(Entry(Offset(1), 0.0, CancelRequested(vm=VM, task=TaskId(0))), 0.0)
    effects = redirector.on_entry(Entry(Offset(2), 0.0, Elected(redirector="me")), 0.0)
    finished = [effect.record for effect in effects if isinstance(effect, Append)]
    assert [record.task for record in finished if isinstance(record, Finished)] == [TaskId(0)]


def test_checks_that_came_and_went_leave_nothing_behind() -> None:
    redirector = Redirector("standby")
    for number in range(10):
        vm = VmId(f"vm{number}")
        check = Submitted(vm=vm, operation=VmCheckState(vm=vm), request_id=vm, dbg="", accept_by=9.0)
        redirector.on_entry(Entry(Offset(2 * number), 0.0, check), 0.0)
        ended = Finished(vm=vm, task=TaskId(2 * number), outcome=Succeeded())
        redirector.on_entry(Entry(Offset(2 * number + 1), 0.0, ended), 0.0)
    assert redirector.lanes._lanes == {}
