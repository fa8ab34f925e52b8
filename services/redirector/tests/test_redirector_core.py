from dataclasses import dataclass, field

import pytest
from bus.ports import Entry
from hypothesis import given
from hypothesis import strategies as st
from redirector.core import Redirector
from redirector.effects import Append, Effect, Notify
from redirector.limits import Limits
from schema.atomics.vm import VmPause
from schema.ids import Offset, TaskId, VmId, WorkerName
from schema.notices import Accepted, Rejected
from schema.objects.dynamic import VmObject
from schema.objects.errors import Cancelled, InternalError
from schema.operations import AtomicOperation, Operation, VmCheckState, VmPoweroff, VmReboot, VmStart
from schema.records import (
    CancelRequested,
    Changed,
    Elected,
    Failed,
    Finished,
    Heartbeat,
    LaneHeld,
    LaneReleased,
    Leased,
    Merged,
    Record,
    Refused,
    Reprioritised,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerUp,
)

VM = VmId("vm")
WORKER = WorkerName("w")


@dataclass
class World:
    """A log and a redirector that reads back what it appends."""

    limits: Limits = field(default_factory=Limits)
    now: float = 1000.0
    log: list[Record] = field(default_factory=list)
    notices: list[Notify] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.redirector = Redirector("me", self.limits)
        self.perform(self.redirector.on_leadership(held=True))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(record):
                    self.append(record)
                case Notify():
                    self.notices.append(effect)

    def append(self, record: Record) -> TaskId:
        offset = len(self.log)
        self.log.append(record)
        self.perform(self.redirector.on_entry(Entry(Offset(offset), self.now, record), self.now))
        return TaskId(offset)

    def submit(
        self, operation: Operation, request_id: str = "", *, vm: VmId = VM, late_s: float = -5.0
    ) -> TaskId:
        return self.append(
            Submitted(
                vm=vm,
                operation=operation,
                request_id=request_id or f"r{len(self.log)}",
                dbg="d",
                accept_by=self.now - late_s,
                reply_to="inbox",
                deadline=self.now + 60.0,
            )
        )

    def worker(self, capacity: int = 10, name: WorkerName = WORKER) -> None:
        self.append(WorkerUp(worker=name, epoch="1", capacity=capacity))

    def leases(self) -> list[TaskId]:
        return [record.task for record in self.log if isinstance(record, Leased)]

    def finish(self, task: TaskId, vm: VmId = VM) -> None:
        self.append(Finished(vm=vm, task=task, outcome=Succeeded()))

    def failures(self) -> dict[TaskId, object]:
        return {
            record.task: record.outcome.error
            for record in self.log
            if isinstance(record, Finished) and isinstance(record.outcome, Failed)
        }


@pytest.fixture(name="world")
def make_world() -> World:
    world = World()
    world.worker()
    return world


def start(vm: VmId = VM) -> VmStart:
    return VmStart(vm=vm)


def pause(vm: VmId = VM) -> AtomicOperation:
    return AtomicOperation(atomic=VmPause(vm=vm))


def test_a_task_is_accepted_and_leased_at_once(world: World) -> None:
    task = world.submit(start(), "r")
    assert world.notices == [Notify("inbox", Accepted(request_id="r", task=task))]
    assert world.leases() == [task]


def test_one_vm_has_one_lease_at_a_time_and_others_do_not_wait(world: World) -> None:
    first, second = world.submit(start()), world.submit(pause())
    other = world.submit(start(VmId("other")), vm=VmId("other"))
    assert world.leases() == [first, other]
    world.finish(first)
    assert world.leases() == [first, other, second]


def test_a_worker_takes_no_more_than_it_can(world: World) -> None:
    world = World()
    world.worker(capacity=1)
    first = world.submit(start(VmId("a")), vm=VmId("a"))
    second = world.submit(start(VmId("b")), vm=VmId("b"))
    assert world.leases() == [first]
    world.finish(first, VmId("a"))
    assert world.leases() == [first, second]


def test_without_a_worker_a_task_waits(world: World) -> None:
    world = World()
    task = world.submit(start())
    assert world.leases() == []
    world.worker()
    assert world.leases() == [task]


def test_a_repeated_request_is_the_first_ones_task(world: World) -> None:
    first = world.submit(start(), "r")
    second = world.submit(start(), "r")
    assert world.notices[1] == Notify("inbox", Accepted(request_id="r", task=first))
    assert [record.task for record in world.log if isinstance(record, Refused)] == [second]
    assert world.leases() == [first]


@pytest.mark.parametrize(
    ("limits", "vm", "late_s", "words"),
    [
        (Limits(), VM, 3.0, "too late"),
        (Limits(), VmId("../x"), -5.0, "cannot name a VM"),
        (Limits(lane_tasks_max=0), VM, -5.0, "tasks wait for VM vm already"),
        (Limits(instance_tasks_max=0), VM, -5.0, "tasks wait already"),
    ],
)
def test_what_cannot_be_accepted_is_refused_with_the_reason(
    limits: Limits, vm: VmId, late_s: float, words: str
) -> None:
    world = World(limits)
    task = world.submit(start(vm), "r", vm=vm, late_s=late_s)
    (notice,) = world.notices
    assert isinstance(notice.notice, Rejected)
    assert isinstance(notice.notice.error, InternalError)
    assert words in notice.notice.error.message
    assert [record.task for record in world.log if isinstance(record, Refused)] == [task]


def test_a_check_that_waits_serves_all_equal_ones_but_one_that_runs_does_not(world: World) -> None:
    running = world.submit(VmCheckState(vm=VM))
    waiting = world.submit(VmCheckState(vm=VM))
    merged = world.submit(VmCheckState(vm=VM))
    assert [(record.task, record.into) for record in world.log if isinstance(record, Merged)] == [
        (merged, waiting)
    ]
    world.finish(running)
    assert world.leases() == [running, waiting]


def test_a_waiting_task_is_cancelled_at_once(world: World) -> None:
    world.submit(start())
    waiting = world.submit(pause())
    world.append(CancelRequested(vm=VM, task=waiting))
    assert world.failures() == {waiting: Cancelled(task=str(waiting))}


def test_cancelling_a_merged_task_ends_only_itself(world: World) -> None:
    world.submit(start())
    waiting = world.submit(VmCheckState(vm=VM))
    merged = world.submit(VmCheckState(vm=VM))
    world.append(CancelRequested(vm=VM, task=merged))
    assert set(world.failures()) == {merged}
    world.append(CancelRequested(vm=VM, task=waiting))
    assert set(world.failures()) == {merged, waiting}


def test_a_running_task_is_the_workers_to_cancel(world: World) -> None:
    world.append(CancelRequested(vm=VM, task=world.submit(start())))
    assert world.failures() == {}


def test_a_forced_power_off_overtakes_and_ends_clean_stops(world: World) -> None:
    running = world.submit(VmPoweroff(vm=VM, timeout_s=60.0))
    waiting = world.submit(VmReboot(vm=VM, timeout_s=60.0))
    later = world.submit(start())
    forced = world.submit(VmPoweroff(vm=VM))
    assert world.failures() == {waiting: Cancelled(task=str(waiting))}
    assert CancelRequested(vm=VM, task=running) in world.log
    world.finish(running)
    world.finish(later)
    assert world.leases() == [running, later, forced]


def test_a_forced_power_off_lets_what_came_before_it_run(world: World) -> None:
    running, waiting, forced = (
        world.submit(start()),
        world.submit(pause()),
        world.submit(VmPoweroff(vm=VM)),
    )
    world.finish(running)
    world.finish(waiting)
    assert world.leases() == [running, waiting, forced]
    assert world.failures() == {}
    assert not [record for record in world.log if isinstance(record, CancelRequested)]


def test_a_held_lane_leases_nothing_until_released(world: World) -> None:
    world.append(LaneHeld(vm=VM))
    task = world.submit(start())
    assert world.leases() == []
    world.append(LaneReleased(vm=VM))
    assert world.leases() == [task]


def test_a_higher_priority_goes_first(world: World) -> None:
    running, first, second = world.submit(start()), world.submit(pause()), world.submit(pause())
    world.append(Reprioritised(vm=VM, task=second, priority=5))
    world.finish(running)
    world.finish(second)
    assert world.leases() == [running, second, first]


def test_a_task_that_is_not_begun_in_time_fails(world: World) -> None:
    world.submit(start())
    waiting = world.submit(pause())
    world.perform(world.redirector.on_time(world.now + 10.0))
    assert world.failures() == {}
    world.append(Heartbeat(worker=WORKER))
    world.now += 61.0
    world.append(Heartbeat(worker=WORKER))
    world.perform(world.redirector.on_time(world.now))
    assert set(world.failures()) == {waiting}


def test_a_silent_worker_is_lost_and_its_tasks_fail(world: World) -> None:
    task = world.submit(start())
    for late_s in (21.0, 22.0, 43.0):
        world.now = 1000.0 + late_s
        world.perform(world.redirector.on_time(world.now))
        world.perform(world.redirector.on_time(world.now))
    assert set(world.failures()) == {task}
    [end] = [record for record in world.log if isinstance(record, Finished)]
    assert end.changed == (VmObject(id=end.vm),)  # whatever it did it has told nobody
    assert world.log.count(WorkerDown(worker=WORKER, epoch="1")) == 1
    world.submit(pause())
    assert world.leases() == [task]


def test_a_worker_of_a_later_life_is_not_sent_away(world: World) -> None:
    world.append(WorkerUp(worker=WORKER, epoch="2", capacity=1))
    world.append(WorkerDown(worker=WORKER, epoch="1"))
    assert world.leases() == []
    assert world.submit(start()) in world.leases()


def test_a_vm_goes_back_to_its_last_worker_unless_that_is_full() -> None:
    world = World()
    world.worker(1, WorkerName("a"))
    world.worker(1, WorkerName("b"))
    workers = []
    for _ in range(3):
        task = world.submit(start())
        workers.append(next(r.worker for r in world.log if isinstance(r, Leased) and r.task == task))
        world.finish(task)
    assert len(set(workers)) == 1


def test_a_leader_that_was_replaced_decides_nothing_more(world: World) -> None:
    assert world.redirector.on_leadership(held=False) == []
    world.append(Elected(redirector="other"))
    before = len(world.log)
    world.submit(start())
    world.perform(world.redirector.on_time(world.now + 100.0))
    assert len(world.log) == before + 1


def test_a_lease_of_an_older_term_counts_for_nobody(world: World) -> None:
    old = world.redirector.term
    world.append(Elected(redirector="other"))
    world.append(Leased(vm=VM, task=TaskId(1), worker=WORKER, term=old))
    assert world.redirector.lanes.leased(VM) is None


def test_what_decides_nothing_is_passed_over(world: World) -> None:
    before = len(world.log)
    world.append(Changed(vm=VM, changed=()))
    assert len(world.log) == before + 1


steps = st.lists(
    st.tuples(
        st.sampled_from(["start", "check", "finish", "cancel", "fail over", "worker"]), st.integers(0, 3)
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_no_vm_has_two_leases_and_every_replica_agrees(
    history: list[tuple[str, int]],
) -> None:
    world = World()
    standby = Redirector("standby")
    read = 0
    for what, number in history:
        vm = VmId(f"vm{number}")
        match what:
            case "start":
                world.submit(start(vm), vm=vm)
            case "check":
                world.submit(VmCheckState(vm=vm), vm=vm)
            case "worker":
                world.worker(capacity=2)
            case "finish":
                if (task := world.redirector.lanes.leased(vm)) is not None:
                    world.finish(task, vm)
            case "cancel":
                if waiting := world.redirector.lanes.waiting(vm):
                    world.append(CancelRequested(vm=vm, task=waiting[0].id))
            case _:
                world.perform(world.redirector.on_leadership(held=True))
        for offset in range(read, len(world.log)):
            standby.on_entry(Entry(Offset(offset), world.now, world.log[offset]), world.now)
        read = len(world.log)
    assert_no_two_leases(world.log)
    for number in range(4):
        vm = VmId(f"vm{number}")
        assert standby.lanes.leased(vm) == world.redirector.lanes.leased(vm)
        assert [t.id for t in standby.lanes.waiting(vm)] == [t.id for t in world.redirector.lanes.waiting(vm)]


def assert_no_two_leases(log: list[Record]) -> None:
    live: dict[VmId, TaskId] = {}
    ended = set()
    for record in log:
        if isinstance(record, Leased):
            assert record.vm not in live
            assert record.task not in ended
            live[record.vm] = record.task
        elif isinstance(record, Finished):
            ended.add(record.task)
            if live.get(record.vm) == record.task:
                del live[record.vm]


def test_a_reprioritised_task_that_has_gone_is_nobodys_business(world: World) -> None:
    world.append(Reprioritised(vm=VM, task=TaskId(99), priority=1))
    assert world.redirector.lanes.depth(VM) == 0
    assert len(world.redirector.lanes) == 0


def test_a_forced_power_off_of_an_idle_vm_just_goes(world: World) -> None:
    task = world.submit(VmPoweroff(vm=VM))
    assert world.leases() == [task]


def test_a_sign_of_life_of_a_worker_that_nobody_knows_is_passed_over(world: World) -> None:
    world.append(Heartbeat(worker=WorkerName("ghost")))
    assert world.redirector.workers.get(WorkerName("ghost")) is None


def test_only_so_many_places_of_vms_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redirector.workers.VMS_REMEMBERED_MAX", 1)
    world = World()
    world.worker(1, WorkerName("a"))
    world.worker(1, WorkerName("b"))
    for name in ("x", "y"):
        world.submit(start(VmId(name)), vm=VmId(name))
    workers = [record.worker for record in world.log if isinstance(record, Leased)]
    assert workers == [WorkerName("a"), WorkerName("b")]
