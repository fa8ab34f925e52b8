"""Histories that a leader and its workers write, at any point of which others go on from a snapshot."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import pytest
from bus.collector import resting
from bus.ports import Entry
from bus.snapshots import SnapshotError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redirector import snapshot as snapshots
from redirector.columns import TEXTS, ColumnsError, Reader, Writer
from redirector.core import Redirector
from redirector.effects import Append, Effect
from redirector.fold import Fold
from redirector.lane import Waiting
from redirector.snapshot import MAGIC, restored
from schema.atomics.vm import VmDelay, VmRemove
from schema.ids import LeaseToken, Offset, TaskId, VmId, WorkerName
from schema.log_records import LifeBegan, Stranded
from schema.operations import AtomicOperation, Operation, VmCheckState, VmPoweroff, VmReceiveMemory, VmStart
from schema.records import (
    CancelRequested,
    DeadlineSet,
    Elected,
    Finished,
    Heartbeat,
    LaneHeld,
    LaneReleased,
    LaneShared,
    Leased,
    Parked,
    Record,
    Removed,
    Reprioritised,
    Started,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerDraining,
    WorkerUp,
)

NOW = 1000.0
VMS = [VmId(f"vm{number}") for number in range(4)]
WORKERS = [WorkerName("a"), WorkerName("b")]
STRANDED = tuple(Stranded(vm=VmId(f"{vm}-0"), of=vm, state="left over", where="there:80") for vm in VMS)

OPERATIONS: list[Callable[[VmId], Operation]] = [
    lambda vm: VmStart(vm=vm),
    lambda vm: VmCheckState(vm=vm),
    lambda vm: VmPoweroff(vm=vm),
    lambda vm: VmPoweroff(vm=vm, timeout_s=9.0),
    lambda vm: AtomicOperation(atomic=VmDelay(vm=vm, delay_s=9.0)),
    lambda vm: AtomicOperation(atomic=VmRemove(vm=vm)),
    lambda vm: VmReceiveMemory(
        vm=vm, final=VmId(f"{vm}-final"), memory_limit_bytes=1, socket="", compressed=False
    ),
]

Step = tuple[str, int, int]

KINDS = (
    *("submit", "submit", "submit", "submit", "again", "write", "write", "write", "tick"),
    *("end", "end", "park", "start"),
    *("cancel", "hold", "release", "share", "alone", "remove", "priority", "deadline"),
    *("up", "down", "drain", "strand", "elect", "depose", "lost"),
)

steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 6)), max_size=80)


@dataclass
class History:
    """A log; its leader, whose records may be written later than decided; what the leader has not written."""

    log: list[Record] = field(default_factory=list)
    leader: Redirector = field(default_factory=lambda: Redirector("leader"))
    unwritten: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.append(Elected(redirector="leader"))

    def append(self, record: Record) -> TaskId:
        offset = len(self.log)
        self.log.append(record)
        self.decide(self.leader.on_entry(self.entry(offset), NOW))
        return TaskId(offset)

    def entry(self, offset: int) -> Entry:
        return Entry(Offset(offset), NOW + offset, self.log[offset])

    def decide(self, effects: list[Effect]) -> None:
        self.unwritten += [effect.record for effect in effects if isinstance(effect, Append)]

    def write(self, count: int = 1_000_000) -> None:
        """The leader's oldest records get into the log; what is decided on them follows."""
        while self.unwritten and count:
            self.append(self.unwritten.pop(0))
            count -= 1

    def tasks(self) -> list[TaskId]:
        return [TaskId(at) for at, record in enumerate(self.log) if isinstance(record, Submitted)]

    def leases(self) -> list[tuple[LeaseToken, Leased]]:
        return [
            (LeaseToken(at), record)
            for at, record in enumerate(self.log)
            if isinstance(record, Leased) and self.leader.lanes.leased(record.vm) == record.task
        ]

    def take(self, step: Step) -> None:
        what, one, other = step
        vm, task = VMS[one], self.tasks()[-1 - other :][:1]
        match what:
            case "submit":
                self.submit(OPERATIONS[other](vm), vm, f"r{len(self.log)}")
            case "again":
                self.submit(VmStart(vm=vm), vm, f"r{task}")
            case "write":
                self.write(other + 1)
            case "tick":
                self.decide(self.leader.on_time(NOW + other))
            case "end" | "park" | "start":
                for token, lease in self.leases()[:1]:
                    self.append(of_worker(what, token, lease))
            case _:
                self.append(of_operator(what, VMS[one], task[0] if task else TaskId(0), other))

    def submit(self, operation: Operation, vm: VmId, request_id: str) -> None:
        submitted = Submitted(
            vm=vm,
            operation=operation,
            request_id=request_id,
            dbg="d",
            accept_by=NOW + 5,
            reply_to="inbox",
            deadline=NOW + 3 if vm == VMS[0] else None,
            awaited=vm == VMS[1],
            traceparent="00-1-2-01" if vm == VMS[2] else None,
            baggage=(("key", "value"),) if vm == VMS[3] else (),
        )
        self.append(submitted)


def of_worker(what: str, token: LeaseToken, lease: Leased) -> Record:
    match what:
        case "end":
            return Finished(vm=lease.vm, task=lease.task, outcome=Succeeded(), token=token)
        case "park":
            return Parked(vm=lease.vm, task=lease.task, token=token, until=NOW)
        case _:
            return Started(vm=lease.vm, task=lease.task, token=token, worker=lease.worker)


def of_operator(what: str, vm: VmId, task: TaskId, number: int) -> Record:
    worker = WORKERS[VMS.index(vm) % 2]
    records: dict[str, Record] = {
        "cancel": CancelRequested(vm=vm, task=task),
        "hold": LaneHeld(vm=vm),
        "release": LaneReleased(vm=vm),
        "share": LaneShared(vm=vm, shares=True),
        "alone": LaneShared(vm=vm, shares=False),
        "remove": Removed(vm=vm),
        "priority": Reprioritised(vm=vm, task=task, priority=number - 3),
        "deadline": DeadlineSet(vm=vm, task=task, deadline=NOW + number if number else None),
        "up": WorkerUp(worker=worker, epoch=str(number % 2), capacity=1 + number % 3),
        "down": WorkerDown(worker=worker, epoch=str(number % 2)),
        "strand": Heartbeat(worker=worker, stranded=STRANDED[:number]),
        "drain": WorkerDraining(worker=worker, draining=number > 2),
        "elect": Elected(redirector="leader"),
        "depose": Elected(redirector="another"),
        "lost": LifeBegan(reason="a test"),
    }
    return records[what]


def replica(log: History, until: int) -> Redirector:
    read = Redirector("replica")
    for offset in range(until):
        read.on_entry(log.entry(offset), NOW)
    return read


@settings(deadline=None, max_examples=50)
@given(steps)
def test_a_leader_whatever_it_has_decided_and_not_written_knows_what_every_replica_knows(
    history: list[Step],
) -> None:
    log = History()
    other, read = Redirector("replica"), 0
    for step in history:
        log.take(step)
        for offset in range(read, len(log.log)):
            other.on_entry(log.entry(offset), NOW)
        read = len(log.log)
        assert log.leader.snapshot() == other.snapshot()


@settings(deadline=None, max_examples=50)
@given(steps, st.integers(0, 100))
def test_who_goes_on_from_a_snapshot_comes_to_the_same_as_who_has_read_all(
    history: list[Step], percent: int
) -> None:
    log = History()
    for step in history:
        log.take(step)
    cut = len(log.log) * percent // 100
    restored = Redirector("restored")
    restored.restore(replica(log, cut).snapshot())
    for offset in range(cut, len(log.log)):
        restored.on_entry(log.entry(offset), NOW)
    assert restored.snapshot() == replica(log, len(log.log)).snapshot()


@settings(deadline=None, max_examples=50)
@given(steps)
@example([("submit", 0, 0), ("submit", 1, 0), ("submit", 0, 0)])
def test_a_snapshot_of_before_in_which_tasks_stand_by_age_alone_is_read_as_well(history: list[Step]) -> None:
    log = History()
    for step in history:
        log.take(step)

    def by_age(fold: Fold) -> list[list[Waiting]]:
        return [sorted(chain.from_iterable(in_lanes(fold)), key=lambda task: task.id)]

    in_lanes, now = snapshots._in_lanes, log.leader.snapshot()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_in_lanes", by_age)
        before = log.leader.snapshot()
    successor = Redirector("successor")
    successor.restore(before)
    assert successor.snapshot() == now
    assert turns_of(before) == turns_of(now)


def turns_of(snapshot: bytes) -> list[TaskId]:
    """The tasks in the order in which they would go, were each leased and ended at once."""
    lanes, turns = restored(snapshot).lanes, list[TaskId]()
    while (task := lanes.next() or lanes.next_arrival()) is not None:
        turns.append(task.id)
        lanes.lease(task.id)
        lanes.release(task.vm, task.id)
    return turns


@settings(deadline=None, max_examples=50)
@given(steps)
def test_whoever_leads_from_a_snapshot_on_brings_all_to_an_end_and_leaves_nothing(
    history: list[Step],
) -> None:
    log = History()
    for step in history:
        log.take(step)
    restored = Redirector("leader")
    restored.restore(log.leader.snapshot())
    log.leader, log.unwritten = restored, []
    log.append(Elected(redirector="leader"))
    for vm in VMS:
        log.append(LaneReleased(vm=vm))
        log.append(LaneShared(vm=vm, shares=False))
    for worker in WORKERS:
        log.append(WorkerDraining(worker=worker, draining=False))
        log.append(WorkerUp(worker=worker, epoch="2", capacity=2))
    log.write()
    while leases := log.leases():
        token, lease = leases[0]
        log.append(Finished(vm=lease.vm, task=lease.task, outcome=Succeeded(), token=token))
        log.write()
    assert list(restored.lanes.all()) == []
    assert len(restored.lanes) == 0
    assert [worker.leases or worker.parked or worker.busy for worker in restored.workers.all()] == [0, 0]
    assert list(restored.fold.followers.items()) == []
    assert restored.fold.repeats == {}
    assert restored.fold.cancels == {}
    assert restored.lanes.claims.shared_by() is None


def test_a_snapshot_holds_tasks_of_every_kind_those_parked_and_those_that_follow() -> None:
    log = History()
    log.append(WorkerUp(worker=WORKERS[0], epoch="1", capacity=9))
    for vm in VMS:
        for number in range(len(OPERATIONS)):
            log.take(("submit", VMS.index(vm), number))
            log.take(("submit", VMS.index(vm), 1))
    log.write()
    log.take(("park", 0, 0))
    log.append(WorkerDown(worker=WORKERS[0], epoch="1"))
    log.append(WorkerUp(worker=WORKERS[1], epoch="1", capacity=0))
    log.append(LaneHeld(vm=VMS[0]))
    log.append(LaneShared(vm=VMS[1], shares=True))
    restored = Redirector("restored")
    restored.restore(log.leader.snapshot())
    assert restored.snapshot() == log.leader.snapshot()
    assert list(restored.fold.followers.items())
    down, up = restored.workers.all()
    assert len(down.parked) == 1
    assert (down.up, up.up) == (False, True)
    assert list(restored.lanes.held()) == [VMS[0]]
    assert restored.lanes.claims.shares(VMS[1])


@pytest.mark.parametrize(
    "damage",
    [b"", b"another 1\n" + b"x" * 40, MAGIC + b"\x00", MAGIC * 9, MAGIC + b"x" + b"\x01" + b"\x00" * 7],
)
def test_what_is_no_snapshot_is_not_read_as_one(damage: bytes) -> None:
    redirector = Redirector("me")
    with pytest.raises(SnapshotError, match="read the log instead"):
        redirector.restore(damage)
    assert len(redirector.lanes) == 0


def test_a_column_that_is_not_what_its_head_says_is_not_read() -> None:
    writer = Writer(b"m")
    writer.put(TEXTS, ["a"])
    reader = Reader(writer.written(None).replace(b'"a"', b'"a '), b"m")
    with pytest.raises(ColumnsError, match="does not parse"):
        reader.take()
    with pytest.raises(ColumnsError, match="does not parse"):
        reader.take()


@pytest.mark.parametrize("missing", [1, 10, 100])
def test_a_snapshot_whose_end_is_missing_is_not_read(missing: int) -> None:
    log = History()
    log.take(("submit", 0, 0))
    with pytest.raises(SnapshotError, match="read the log instead"):
        Redirector("me").restore(log.leader.snapshot()[:-missing])


def test_no_garbage_is_looked_for_while_a_snapshot_is_taken_up() -> None:
    assert gc.isenabled()
    with resting(), resting():
        assert not gc.isenabled()
    assert gc.isenabled()
