import pytest
from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append
from redirector.workers import Lease, Workers
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.errors import Cancelled
from schema.operations import Operation, VbdCheckState, VmCheckState, VmPoweroff, VmStart
from schema.records import (
    CancelRequested,
    DeadlineSet,
    Elected,
    Failed,
    Finished,
    LaneHeld,
    LaneReleased,
    LaneShared,
    Leased,
    Merged,
    Record,
    Removed,
    Reprioritised,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerDraining,
    WorkerUp,
)
from schema.wire.types import DeviceId

OLD, NEW = WorkerName("old"), WorkerName("new")
VM = VmId("vm")


class World:
    """A log and its leader; what the leader wants written waits in `owed` until `write`."""

    def __init__(self, *workers: WorkerName) -> None:
        self.log: list[Record] = []
        self.owed: list[Record] = []
        self.redirector = Redirector("me")
        self.append(Elected(redirector="me"))
        for worker in workers:
            self.append(WorkerUp(worker=worker, epoch="1", capacity=1))

    def append(self, record: Record) -> TaskId:
        offset = len(self.log)
        self.log.append(record)
        effects = self.redirector.on_entry(Entry(Offset(offset), 0.0, record), 0.0)
        self.owed += [effect.record for effect in effects if isinstance(effect, Append)]
        return TaskId(offset)

    def submit(self, operation: Operation, vm: VmId = VM, request_id: str = "") -> TaskId:
        request_id = request_id or str(len(self.log))
        return self.append(
            Submitted(
                vm=vm, operation=operation, request_id=request_id, dbg="", accept_by=9.0, reply_to="inbox"
            )
        )

    def start(self, vm: str = VM) -> TaskId:
        return self.submit(VmStart(vm=VmId(vm)), VmId(vm))

    def write(self) -> None:
        while self.owed:
            self.append(self.owed.pop(0))

    def worker_of(self, task: TaskId) -> WorkerName | None:
        found = [record.worker for record in self.log if isinstance(record, Leased) and record.task == task]
        return found[-1] if found else None

    def end(self, task: TaskId, vm: str = VM) -> None:
        self.append(Finished(vm=VmId(vm), task=task, outcome=Succeeded()))

    def errors(self) -> dict[TaskId, object]:
        ended = [record for record in self.log if isinstance(record, Finished)]
        return {record.task: record.outcome.error for record in ended if isinstance(record.outcome, Failed)}


def test_a_rolling_upgrade_gives_a_worker_nothing_new_until_it_is_asked_to_work_again_and_loses_nothing() -> (
    None
):
    world = World(OLD)
    running = world.start("a")
    world.write()
    world.append(WorkerDraining(worker=OLD, draining=True))
    waiting = world.start("b")
    world.write()
    assert (world.worker_of(running), world.worker_of(waiting)) == (OLD, None)
    world.end(running, "a")
    world.append(WorkerDown(worker=OLD, epoch="1"))
    world.append(WorkerUp(worker=OLD, epoch="2", capacity=1))
    world.write()
    assert world.worker_of(waiting) is None
    world.append(WorkerDraining(worker=OLD, draining=False))
    world.write()
    assert world.worker_of(waiting) == OLD
    assert world.errors() == {}


def test_while_one_worker_is_drained_another_takes_its_vms() -> None:
    world = World(OLD, NEW)
    first = world.start()
    world.write()
    at, other = (OLD, NEW) if world.worker_of(first) == OLD else (NEW, OLD)
    world.end(first)
    world.append(WorkerDraining(worker=at, draining=True))
    second = world.start()
    world.write()
    assert world.worker_of(second) == other


def test_a_worker_can_be_drained_before_it_has_ever_come() -> None:
    world = World()
    world.append(WorkerDraining(worker=NEW, draining=True))
    world.append(WorkerUp(worker=NEW, epoch="1", capacity=1))
    task = world.start()
    world.write()
    assert world.worker_of(task) is None


def test_a_cancel_that_comes_between_a_lease_and_its_record_reaches_the_worker_after_it() -> None:
    world = World(NEW)
    task = world.start()
    world.append(CancelRequested(vm=VM, task=task))
    world.write()
    kinds = [record.kind for record in world.log[-3:]]
    assert kinds == ["CancelRequested", "Leased", "CancelRequested"]
    assert world.redirector.fold.cancels == {}


def test_a_cancel_of_what_was_leased_before_its_leader_died_is_passed_on_by_the_next() -> None:
    world = World(NEW)
    task = world.start()
    world.append(CancelRequested(vm=VM, task=task))
    lease = world.owed.pop(0)
    world.append(Elected(redirector="another"))
    assert isinstance(lease, Leased)
    world.append(lease.model_copy(update={"term": Term(len(world.log) - 1)}))
    world.owed.clear()
    world.append(Elected(redirector="me"))
    assert world.owed == [CancelRequested(vm=VM, task=task)]


def test_a_merger_into_a_check_that_is_cancelled_in_the_same_moment_ends_both() -> None:
    world = World()
    first, second = world.submit(VmCheckState(vm=VM)), world.submit(VmCheckState(vm=VM))
    world.append(CancelRequested(vm=VM, task=first))
    world.append(CancelRequested(vm=VM, task=second))
    world.write()
    assert world.errors() == {first: Cancelled(task=str(first)), second: Cancelled(task=str(second))}
    assert len(world.redirector.lanes) == 0
    assert list(world.redirector.fold.followers.items()) == []


def test_what_a_leader_decided_and_could_not_write_is_void_and_decided_anew() -> None:
    world = World()
    first, second = world.submit(VmCheckState(vm=VM)), world.submit(VmCheckState(vm=VM))
    stale = world.owed.pop()
    world.append(Elected(redirector="another"))
    world.append(stale)
    assert [task.id for task in world.redirector.lanes.waiting(VM)] == [first, second]
    term = Term(world.append(Elected(redirector="me")))
    assert world.owed == [Merged(vm=VM, task=second, into=first, term=term)]


def test_a_deadline_can_be_set_moved_and_taken_away_while_a_task_waits() -> None:
    world = World()
    early, late, never = world.start("a"), world.start("b"), world.start("c")
    for task, vm, deadline in ((early, "a", 5.0), (late, "b", 5.0), (never, "c", 5.0)):
        world.append(DeadlineSet(vm=VmId(vm), task=task, deadline=deadline))
    world.append(DeadlineSet(vm=VmId("b"), task=late, deadline=50.0))
    world.append(DeadlineSet(vm=VmId("c"), task=never, deadline=None))
    world.append(DeadlineSet(vm=VmId("c"), task=TaskId(99), deadline=1.0))
    ended = [effect.record for effect in world.redirector.on_time(6.0) if isinstance(effect, Append)]
    assert [record.task for record in ended if isinstance(record, Finished)] == [early]


def test_a_deadline_that_passes_while_a_lease_is_under_way_counts_if_that_comes_to_nothing() -> None:
    world = World(NEW)
    task = world.start()
    world.append(DeadlineSet(vm=VM, task=task, deadline=5.0))
    assert world.redirector.on_time(6.0) == []
    world.append(WorkerDraining(worker=NEW, draining=True))
    world.append(Elected(redirector="me"))
    [ended] = world.redirector.on_time(7.0)
    assert isinstance(ended, Append)
    assert isinstance(ended.record, Finished)


def test_what_was_held_or_shared_of_a_vm_that_is_removed_is_forgotten() -> None:
    world = World()
    world.append(LaneHeld(vm=VM))
    world.append(LaneShared(vm=VM, shares=True))
    world.append(Removed(vm=VM))
    assert list(world.redirector.lanes.all()) == []
    assert list(world.redirector.lanes.held()) == []


def test_only_so_many_lanes_can_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redirector.lanes.LANES_HELD_MAX", 1)
    world = World()
    for vm in ("a", "b", "a"):
        world.append(LaneHeld(vm=VmId(vm)))
    assert list(world.redirector.lanes.held()) == ["a"]
    world.append(LaneReleased(vm=VmId("a")))
    assert list(world.redirector.lanes.all()) == []


def test_many_vms_on_one_gpu_take_turns_with_all_others() -> None:
    world = World(NEW)
    for vm in ("g1", "g2"):
        world.append(LaneShared(vm=VmId(vm), shares=True))
    tasks = {vm: world.start(vm) for vm in ("g1", "g2", "x")}
    order = []
    for _ in tasks:
        world.write()
        vm = next(vm for vm, task in tasks.items() if world.redirector.lanes.leased(VmId(vm)) == task)
        order.append(vm)
        world.end(tasks[vm], vm)
    assert order in (["g1", "x", "g2"], ["g1", "g2", "x"])


def test_the_least_busy_worker_is_found_however_often_they_change() -> None:
    workers = Workers()
    for number in range(3):
        workers.come(WorkerName(f"w{number}"), "1", 100, 0.0)
    for number in range(300):
        chosen = workers.choose(VmId(f"vm{number}"))
        assert chosen is not None
        workers.lease(chosen.name, Lease(TaskId(number), VmId(f"vm{number}"), LeaseToken(number)))
    assert [worker.busy for worker in workers.all()] == [100, 100, 100]
    assert workers.choose(VmId("more")) is None
    workers.settle(TaskId(0))
    assert workers.choose(VmId("more")) is workers.get(WorkerName("w0"))
    assert workers.choose(VmId("more"), takes_slot=False) is workers.get(WorkerName("w0"))


def test_of_workers_without_number_those_are_forgotten_that_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("redirector.workers.WORKERS_MAX", 2)
    workers = Workers()
    for name in ("a", "b", "c"):
        workers.come(WorkerName(name), "1", 1, 0.0)
    assert [worker.name for worker in workers.all()] == ["a", "b"]
    workers.drain(WorkerName("c"), draining=True)
    workers.lease(WorkerName("c"), Lease(TaskId(1), VM, LeaseToken(1)))
    assert workers.lease_of(TaskId(1)) is None
    workers.go(WorkerName("b"), "1", 0.0)
    workers.come(WorkerName("c"), "1", 1, 0.0)
    assert [worker.name for worker in workers.all()] == ["a", "c"]


def test_a_forced_power_off_that_waits_ends_only_clean_stops_that_came_before_it() -> None:
    world = World()
    before = world.submit(VmPoweroff(vm=VM, timeout_s=9.0))
    world.submit(VmPoweroff(vm=VM))
    after = world.submit(VmPoweroff(vm=VM, timeout_s=9.0))
    world.write()
    world.append(Elected(redirector="me"))
    world.write()
    assert set(world.errors()) == {before}
    assert after in {task.id for task in world.redirector.lanes.waiting(VM)}


def test_a_forced_power_off_that_was_settled_meanwhile_is_not_considered_by_a_new_leader() -> None:
    world = World()
    for operation in (VmCheckState(vm=VM), VmCheckState(vm=VM), VmCheckState(vm=VM)):
        world.submit(operation)
    world.owed.clear()
    last = TaskId(len(world.log) - 1)
    world.append(CancelRequested(vm=VM, task=last))
    world.owed.clear()
    world.append(Elected(redirector="me"))
    world.write()
    assert world.errors() == {last: Cancelled(task=str(last))}
    assert len(list(world.redirector.fold.followers.items())) == 1


def test_a_task_that_follows_another_may_end_before_it() -> None:
    world = World()
    tasks = [world.submit(VmCheckState(vm=VM)) for _ in range(3)]
    world.write()
    for task in tasks[1:]:
        world.append(CancelRequested(vm=VM, task=task))
        world.write()
    assert set(world.errors()) == set(tasks[1:])
    assert list(world.redirector.fold.followers.items()) == []
    assert [task.id for task in world.redirector.lanes.waiting(VM)] == tasks[:1]


def test_what_is_parked_takes_its_place_again_when_its_worker_comes_in_another_life() -> None:
    workers = Workers()
    workers.come(NEW, "1", 1, 0.0)
    workers.lease(NEW, Lease(TaskId(1), VM, LeaseToken(1)))
    worker = workers.get(NEW)
    assert worker is not None
    for epoch in ("1", "2"):
        workers.park(TaskId(1), LeaseToken(1))
        workers.come(NEW, "1", 1, 0.0)
        assert worker.free()
        workers.come(NEW, epoch, 1, 0.0)
        assert worker.free() == (epoch == "1")
    workers.park(TaskId(1), LeaseToken(1))
    assert worker.busy == 0
    for _ in range(2):
        workers.unpark(TaskId(1))
        assert worker.busy == 1


def test_a_device_is_looked_at_once_for_all_that_wait_but_each_device_by_itself() -> None:
    world = World()
    for device in ("xvda", "xvdb", "xvda"):
        world.submit(VbdCheckState(id=DeviceId(VM, device)))
    world.write()
    assert [(record.task, record.into) for record in world.log if isinstance(record, Merged)] == [(3, 1)]


def test_a_priority_given_while_a_lease_is_under_way_counts_if_that_comes_to_nothing() -> None:
    world = World(NEW)
    first, second = world.start(), world.start()
    world.append(Reprioritised(vm=VM, task=first, priority=-1))
    world.append(WorkerDraining(worker=NEW, draining=True))
    world.append(Elected(redirector="me"))
    assert [task.id for task in world.redirector.lanes.waiting(VM)] == [second, first]


def test_places_that_workers_have_left_are_forgotten_in_time() -> None:
    workers = Workers()
    names = [WorkerName(f"w{number}") for number in range(2)]
    for name in names:
        workers.come(name, "e", 10_000, now=0.0)
    for number in range(300):
        workers.lease(names[0], Lease(TaskId(number), VmId(f"vm{number}"), LeaseToken(number)))
    assert workers.choose(VmId("new"), takes_slot=False) is workers.get(names[1])
    for number in range(300, 600):
        workers.lease(names[1], Lease(TaskId(number), VmId(f"vm{number}"), LeaseToken(number)))
    assert workers.choose(VmId("new"), takes_slot=False) is workers.get(names[0])
    for number in reversed(range(600)):
        workers.settle(TaskId(number))
    assert len(workers._present._heap) < 200
    assert workers.first_free() is workers.get(names[0])
