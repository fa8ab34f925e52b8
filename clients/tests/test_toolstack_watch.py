"""The watcher: every change is looked at, VMs do not wait for each other, and nothing is missed."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bus.ports import BusUnavailableError
from fake_instance import DONE, FakeInstance
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId, TaskObject, VbdObject, VmObject
from schema.objects.errors import Cancelled
from schema.objects.task import Failed, Pending, Task
from schema.wire.types import DeviceId
from typing_extensions import override
from xenops import Client
from xenops.toolstack import TaskGoneError, Watcher, WatcherStoppedError, clean_up_orphans, sync_with_task
from xenops.toolstack.tasks import Silent, cancel_task
from xenops.toolstack.watch.workers import Workers

PATIENCE_S = 120.0
A, B = VmObject(id="a"), VmObject(id="b")
DISK = VbdObject(id=DeviceId("a", "xvda"))


class Seen:
    """A handler that notes what it is shown, and can be held up or fail for one VM."""

    def __init__(self) -> None:
        self.changes = threading.Condition()
        self.order: list[ObjectId] = []
        self.holds: dict[ObjectId, threading.Event] = {}
        self.failures: list[Exception] = []
        self.believed: list[str] = []

    def changed(self, changed: ObjectId) -> None:
        if changed in self.holds:
            assert self.holds[changed].wait(PATIENCE_S)
        with self.changes:
            if self.failures:
                raise self.failures.pop()
            self.order.append(changed)
            self.changes.notify_all()

    def vms(self) -> list[str]:
        return self.believed

    def until(self, condition: Callable[[], bool]) -> None:
        with self.changes:
            assert self.changes.wait_for(condition, PATIENCE_S), self.order


@pytest.fixture
def instance() -> FakeInstance:
    return FakeInstance()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watcher(instance: FakeInstance, seen: Seen) -> Iterator[Watcher]:
    with Watcher(Client(instance, "i", dbg="test"), seen) as watcher:
        yield watcher
        for hold in seen.holds.values():
            hold.set()
    instance.tell(VmObject(id="end"))


@pytest.mark.usefixtures("watcher")
def test_everything_is_looked_at_first_and_then_what_changes(instance: FakeInstance, seen: Seen) -> None:
    instance.tell(A, DISK)
    seen.until(lambda: {A, DISK} <= set(seen.order))
    instance.tell(B)
    seen.until(lambda: B in seen.order)


@pytest.mark.usefixtures("watcher")
def test_a_slow_vm_delays_no_other(instance: FakeInstance, seen: Seen) -> None:
    seen.holds[A] = threading.Event()
    instance.tell(A, DISK)
    for number in range(50):
        instance.tell(VmObject(id=f"vm{number}"))
    seen.until(lambda: len(seen.order) == 50)
    assert A not in seen.order
    assert DISK not in seen.order
    seen.holds[A].set()
    seen.until(lambda: seen.order[-2:] == [A, DISK])


@pytest.mark.usefixtures("watcher")
def test_changes_of_a_slow_vm_become_one_look(instance: FakeInstance, seen: Seen, watcher: Watcher) -> None:
    seen.holds[A] = threading.Event()
    for _ in range(100):
        instance.tell(A, DISK)
    barrier = watcher.seen("a")
    assert not barrier.done()
    seen.holds[A].set()
    barrier.result(PATIENCE_S)
    assert seen.order.count(DISK) <= 2
    assert seen.order.count(A) <= 3


def test_a_barrier_is_met_after_all_that_came_before_it(
    instance: FakeInstance, seen: Seen, watcher: Watcher
) -> None:
    for _ in range(20):
        instance.tell(A, DISK)
        watcher.seen("a").result(PATIENCE_S)
        assert seen.order[-1] in {A, DISK}
        assert {A, DISK} <= set(seen.order)
        seen.order.clear()
    assert instance.barriers == []


def test_somebody_elses_barrier_is_left_alone(instance: FakeInstance, watcher: Watcher) -> None:
    instance.barriers.append((7, 0, "a"))
    watcher.seen("b").result(PATIENCE_S)
    assert instance.barriers == [(7, 0, "a")]


def test_a_barrier_that_cannot_be_put_up_is_said_so(instance: FakeInstance, watcher: Watcher) -> None:
    def refuse(**_: Any) -> None:
        raise internal_error("no barriers today")

    instance.answers["UPDATES.inject_barrier"] = refuse
    with pytest.raises(XenopsError, match="no barriers"):
        watcher.seen("a")


def test_what_changes_while_nobody_answers_is_not_missed(
    instance: FakeInstance, seen: Seen, watcher: Watcher
) -> None:
    instance.answers["VM.list"] = lambda: ()
    seen.believed = ["gone"]
    watcher.seen("a").result(PATIENCE_S)
    with instance.changed:
        instance.silent = 3
    instance.tell(B)
    seen.until(lambda: {B, VmObject(id="gone")} <= set(seen.order))
    assert instance.asked.count("VM.list") == 1


@pytest.mark.usefixtures("watcher")
def test_a_look_that_did_not_reach_the_service_is_repeated(
    instance: FakeInstance, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenops.toolstack.watch.workers.RETRY_S", 0.01)
    seen.failures = [BusUnavailableError("nobody answers"), BusUnavailableError("nobody answers")]
    instance.tell(A)
    seen.until(lambda: seen.order == [A])


@pytest.mark.usefixtures("watcher")
def test_a_look_that_fails_is_logged_and_repeated_while_others_go_on(
    instance: FakeInstance, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    seen.failures = [internal_error("no worker is running"), ZeroDivisionError("a bug")]
    instance.tell(A, DISK)
    seen.until(lambda: {A, DISK} <= set(seen.order))
    assert "no worker" in caplog.text
    assert "a bug" in caplog.text


class Watched(Silent):
    """A caller's task that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, bool]] = []
        self.cancel: Callable[[], None] = lambda: None

    @override
    def runs(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel

    @override
    def progressed(self, fraction: float, *, cancellable: bool) -> None:
        self.told.append((fraction, cancellable))


def test_a_foreign_task_follows_its_xenops_task_which_is_destroyed(
    instance: FakeInstance, watcher: Watcher
) -> None:
    instance.task("7", Pending(progress=0.5))
    foreign = Watched()

    def advance(seen: Task) -> None:
        if seen.state == Pending(progress=0.5):
            instance.task("7", DONE)

    watcher.task_ended("7", advance)
    done = sync_with_task(watcher, foreign, "7", (0.0, 0.8))
    assert done.duration == 0.5
    assert foreign.told[-1] == (0.8, True)
    assert all(one in {(0.4, True), (0.8, True)} for one in foreign.told)
    assert instance.tasks == {}


def test_a_foreign_task_cancels_its_xenops_task(instance: FakeInstance, watcher: Watcher) -> None:
    instance.task("7")

    class Impatient(Watched):
        @override
        def runs(self, cancel: Callable[[], None]) -> None:
            cancel()
            instance.task("7", Failed(error=["Cancelled", "7"]))

    with pytest.raises(XenopsError) as raised:
        sync_with_task(watcher, Impatient(), "7")
    assert raised.value.error == Cancelled(task="7")
    assert instance.cancelled == ["7"]
    cancel_task(watcher.client, "7")


def test_what_cannot_be_cancelled_is_not_offered(instance: FakeInstance, watcher: Watcher) -> None:
    instance.task("7", DONE)
    foreign = Watched()
    sync_with_task(watcher, foreign, "7", cancellable=False)
    foreign.cancel()
    assert (foreign.told, instance.cancelled) == ([(1.0, False)], [])


def test_a_task_that_somebody_else_destroyed_is_gone(instance: FakeInstance, watcher: Watcher) -> None:
    ended = watcher.task_ended(instance.task("7"))
    del instance.tasks["7"]
    instance.tell(TaskObject(id="7"))
    with pytest.raises(TaskGoneError, match="task 7"):
        ended.result(PATIENCE_S)


def test_a_task_that_was_destroyed_in_silence_is_missed_by_a_sweep(
    instance: FakeInstance, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenops.toolstack.watch.watcher.SWEEP_S", 0.0)
    ended = [watcher.task_ended(instance.task(number)) for number in ("7", "8")]
    watcher.seen("a").result(PATIENCE_S)
    del instance.tasks["7"]
    instance.tasks["8"] = instance.tasks["8"].model_copy(update={"state": DONE})
    instance.tell(A)
    with pytest.raises(TaskGoneError):
        ended[0].result(PATIENCE_S)
    assert ended[1].result(PATIENCE_S).state == DONE


def test_thousands_wait_at_the_cost_of_one(instance: FakeInstance, watcher: Watcher) -> None:
    numbers = [str(number) for number in range(1_000)]
    for number in numbers:
        instance.task(number)
    before = threading.active_count()
    ended = [watcher.task_ended(number) for number in numbers]
    assert threading.active_count() - before <= 32
    for number in numbers:
        instance.task(number, DONE)
    assert {one.result(PATIENCE_S).id for one in ended} == set(numbers)


def test_a_stat_that_fails_otherwise_leaves_the_waiter_waiting(
    instance: FakeInstance, watcher: Watcher
) -> None:
    refusals = [internal_error("not now")]

    def stat(**params: str) -> Task:
        if refusals:
            raise refusals.pop()
        return instance.tasks[params["id"]]

    instance.task("7", DONE)
    instance.answers["Task.stat"] = stat
    ended = watcher.task_ended("7")
    while refusals:
        watcher.seen("a").result(PATIENCE_S)
    instance.tell(TaskObject(id="7"))
    assert ended.result(PATIENCE_S).state == DONE


def test_a_listener_that_fails_costs_nobody_the_end(
    instance: FakeInstance, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_task: Task) -> None:
        raise ZeroDivisionError("a bug")

    assert watcher.task_ended(instance.task("7", DONE), fail).result(PATIENCE_S).state == DONE
    assert "a bug" in caplog.text


def test_who_waits_when_the_watcher_stops_is_told(instance: FakeInstance, watcher: Watcher) -> None:
    seen_handler = watcher.task_ended(instance.task("7"))
    given_up = watcher.task_ended("7")
    given_up.cancel()
    assert watcher.awaits("7")
    watcher.stop()
    watcher.stop()
    for waiting in (seen_handler, watcher.task_ended("7"), watcher.seen("a")):
        with pytest.raises(WatcherStoppedError, match="was stopped"):
            waiting.result(PATIENCE_S)
    assert not watcher.awaits("7")


def test_a_barrier_that_nobody_met_is_told_when_the_watcher_stops(instance: FakeInstance) -> None:
    watcher = Watcher(Client(instance, "i"), Seen())
    barrier = watcher.seen("a")
    watcher.stop()
    with pytest.raises(WatcherStoppedError, match="the VM a"):
        barrier.result(PATIENCE_S)


def test_orphans_are_stopped_and_destroyed(instance: FakeInstance) -> None:
    instance.task("1")
    instance.task("2", DONE)
    instance.task("3", dbg="other")
    gone = clean_up_orphans(Client(instance, "i"), lambda task: task.dbg == "test")
    assert (gone, instance.cancelled, list(instance.tasks)) == (("1", "2"), ["1"], ["3"])


def test_workers_settle_and_are_as_many_as_are_needed() -> None:
    looked: list[int] = []
    workers: Workers[int] = Workers(looked.append, workers_max=4)
    assert len(workers) == 0
    workers.offer(*((number % 7, number) for number in range(70)))
    assert workers.settled(PATIENCE_S)
    assert sorted(looked) == list(range(70))
    workers.stop()
