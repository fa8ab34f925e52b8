from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append, Effect
from schema.atomics.vm import VmDelay
from schema.ids import LeaseToken, Offset, TaskId, VmId, WorkerName
from schema.operations import AtomicOperation
from schema.records import (
    Elected,
    Finished,
    Heartbeat,
    Leased,
    Parked,
    Record,
    Started,
    Submitted,
    Succeeded,
    WorkerUp,
)

WORKER = WorkerName("w")


class Log:
    """A log and the redirector that leads on it, with one worker that has one place."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.redirector = Redirector("me")
        self.append(Elected(redirector="me"))
        self.append(WorkerUp(worker=WORKER, epoch="e", capacity=1))

    def append(self, record: Record) -> int:
        offset = len(self.records)
        self.records.append(record)
        self._perform(self.redirector.on_entry(Entry(Offset(offset), 1000.0, record), 1000.0))
        return offset

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Append):
                self.append(effect.record)

    def delay(self, vm: str) -> TaskId:
        operation = AtomicOperation(atomic=VmDelay(vm=VmId(vm), delay_s=9.0))
        record = Submitted(vm=VmId(vm), operation=operation, request_id=vm, dbg="d", accept_by=2000.0)
        return TaskId(self.append(record))

    def token(self, task: TaskId) -> LeaseToken | None:
        for offset, record in enumerate(self.records):
            if isinstance(record, Leased) and record.task == task:
                return LeaseToken(offset)
        return None

    def park(self, task: TaskId, token: LeaseToken | None) -> None:
        assert token is not None
        self.append(Parked(vm=VmId("a"), task=task, token=token, until=1009.0))


def test_what_waits_for_a_time_takes_no_place_of_its_worker_but_holds_its_lane() -> None:
    log = Log()
    first, second, of_the_same = log.delay("a"), log.delay("b"), log.delay("a")
    assert log.token(second) is None
    log.park(first, log.token(first))
    token = log.token(second)
    assert token is not None
    assert log.token(of_the_same) is None
    log.append(Heartbeat(worker=WORKER))
    assert log.token(of_the_same) is None


def test_what_goes_on_takes_a_place_again() -> None:
    log = Log()
    first, second = log.delay("a"), log.delay("b")
    token = log.token(first)
    log.park(first, token)
    log.append(Finished(vm=VmId("b"), task=second, outcome=Succeeded()))
    assert token is not None
    log.append(Started(vm=VmId("a"), task=first, token=token, worker=WORKER))
    third = log.delay("c")
    assert log.token(third) is None
    log.append(Finished(vm=VmId("a"), task=first, outcome=Succeeded(), token=token))
    assert log.token(third) is not None


def test_only_the_lease_that_holds_can_be_parked() -> None:
    log = Log()
    first, second = log.delay("a"), log.delay("b")
    log.park(first, LeaseToken(0))
    assert log.token(second) is None
