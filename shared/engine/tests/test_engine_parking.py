import heapq
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.simulator import Fault, Simulator
from engine.threads import SystemThreads
from engine.worker.parking import Parking
from schema.atomics.vm import DomainAction, VmDelay
from schema.ids import TaskId, VmId
from schema.objects.errors import Cancelled
from schema.objects.vm import PowerState
from schema.operations import AtomicOperation, VmCheckState, VmPoweroff, VmStart
from schema.records import (
    CancelRequested,
    Failed,
    Finished,
    Parked,
    Record,
    Started,
    Submitted,
    Succeeded,
)
from typing_extensions import override
from worker_in_hand import INSTANCE, VM, World

NOBODYS = VmId("not-there")
LONG_S = 3600.0


class Timers:
    """A bus's timers, by a clock that the test sets forward."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._now + delay_s, next(self._numbers), action))

    def pass_by(self, seconds: float) -> None:
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            self._now, _, action = heapq.heappop(self._due)
            action()
        self._now = end


class Patient(World):
    """A worker whose guests may not reboot often."""

    @override
    def make_backend(self, *faults: Fault) -> Simulator:
        backend = super().make_backend(*faults)
        backend.vm.minimum_reboot_delay_s = LONG_S
        return backend

    def read(self, kind: type[Record], task: TaskId, count: int = 1) -> Any:
        """The last of so many records of a kind about a task, once they are there."""

        def found() -> list[Record]:
            return [r for r in self.records if isinstance(r, kind) and r.task == task]  # type: ignore[union-attr]

        self.wait_for(lambda _: len(found()) >= count)
        return found()[-1]

    def outcome(self, task: TaskId) -> Any:
        return self.end_of(task).outcome

    @override
    def end(self) -> None:
        self.service.stop()
        super().end()


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[Patient]:
    world = Patient(tmp_path)
    yield world
    world.close()


def delay(delay_s: float, vm: VmId = VM) -> AtomicOperation:
    return AtomicOperation(atomic=VmDelay(vm=vm, delay_s=delay_s))


def test_what_is_parked_goes_on_in_the_order_of_its_time() -> None:
    went_on: list[TaskId] = []
    timers = Timers()
    parking = Parking(went_on.append, timers.later)
    parking.put(TaskId(1), 3 * LONG_S)
    parking.put(TaskId(2), 0.02)
    parking.put(TaskId(3), 0.01)
    timers.pass_by(0.05)
    assert went_on == [3, 2]
    assert TaskId(1) in parking
    assert len(parking) == 1
    parking.wake(TaskId(1))
    parking.wake(TaskId(1))
    assert went_on == [3, 2, 1]


def test_what_waits_for_longer_than_a_timer_runs_goes_on_when_its_time_has_come() -> None:
    went_on: list[TaskId] = []
    timers = Timers()
    parking = Parking(went_on.append, timers.later)
    parking.put(TaskId(1), 2.5 * LONG_S)
    parking.put(TaskId(2), float("inf"))
    timers.pass_by(2.4 * LONG_S)
    assert went_on == []
    timers.pass_by(0.2 * LONG_S)
    assert went_on == [1]
    timers.pass_by(100 * LONG_S)
    assert TaskId(2) in parking


def test_a_timer_of_before_means_nothing_to_what_was_woken_and_waits_again() -> None:
    went_on: list[TaskId] = []
    timers = Timers()
    parking = Parking(went_on.append, timers.later)
    parking.put(TaskId(1), 1.0)
    parking.wake(TaskId(1))
    parking.put(TaskId(1), 2.0)
    timers.pass_by(1.5)
    assert went_on == [1]
    timers.pass_by(1.0)
    assert went_on == [1, 1]


def test_once_closed_nothing_goes_on() -> None:
    went_on: list[TaskId] = []
    timers = Timers()
    parking = Parking(went_on.append, timers.later)
    parking.put(TaskId(1), 1.0)
    parking.close()
    timers.pass_by(2.0)
    parking.wake(TaskId(1))
    assert went_on == []


def test_a_delay_waits_without_a_thread_and_ends_at_once_when_cancelled(world: Patient) -> None:
    tasks = [world.lease(delay(LONG_S, VmId(f"v{number}")), VmId(f"v{number}")) for number in range(2, 9)]
    for task in tasks:
        world.read(Parked, task)
    assert isinstance(world.threads, SystemThreads)
    assert world.threads.waiting() == 0
    assert world.outcome(world.lease(VmStart(vm=VM))) == Succeeded()
    for task in tasks:
        world.leader.append(INSTANCE, CancelRequested(vm=VM, task=task))
        assert world.outcome(task).error == Cancelled(task=str(task))


def test_a_delay_ends_by_itself_even_of_a_vm_that_nobody_knows(world: Patient) -> None:
    assert world.outcome(world.lease(delay(0.01))) == Succeeded()
    assert world.outcome(world.lease(delay(0.0, NOBODYS), NOBODYS)) == Succeeded()
    assert world.outcome(world.lease(delay(float("nan")))) == Succeeded()


def test_a_delay_is_cancelled_at_its_one_cancel_point(world: Patient) -> None:
    world.service.cancel_next("d", 1)
    assert isinstance(world.outcome(world.lease(delay(LONG_S))), Failed)


def test_a_cancel_that_comes_before_a_delay_is_parked_is_not_lost(world: Patient) -> None:
    task = world.lease(delay(LONG_S))
    world.leader.append(INSTANCE, CancelRequested(vm=VM, task=task))
    assert world.outcome(task).error == Cancelled(task=str(task))


def test_a_restarted_worker_waits_for_the_rest_of_a_delay_only(world: Patient) -> None:
    task = world.lease(delay(LONG_S))
    parked = world.read(Parked, task)
    world.end()
    world.start()
    assert world.read(Parked, task, count=2).until == pytest.approx(parked.until, abs=1.0)
    world.leader.append(INSTANCE, CancelRequested(vm=VM, task=task))
    assert world.outcome(task).error == Cancelled(task=str(task))


def test_a_worker_that_stops_does_not_wait_for_what_is_parked(world: Patient) -> None:
    world.read(Parked, world.lease(delay(LONG_S)))
    world.service.stop()
    assert world.service._running != {}


def test_a_vm_that_reboots_too_soon_waits_without_a_thread_and_runs_on(world: Patient) -> None:
    assert world.outcome(world.lease(VmStart(vm=VM))) == Succeeded()
    world.backend.trigger("reboot", [VM])
    task = world.lease(VmCheckState(vm=VM))
    world.read(Parked, task)
    world.leader.append(INSTANCE, CancelRequested(vm=VM, task=task))
    assert world.outcome(task).error == Cancelled(task=str(task))
    assert world.state() is PowerState.PAUSED


def test_a_vm_that_reboots_too_soon_is_rebooted_after_its_delay(
    world: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.check.REBOOT_DELAY_S", 0.01)
    assert world.outcome(world.lease(VmStart(vm=VM))) == Succeeded()
    world.backend.trigger("reboot", [VM])
    task = world.lease(VmCheckState(vm=VM))
    world.read(Parked, task)
    assert world.outcome(task) == Succeeded()
    assert world.state() is PowerState.RUNNING


def test_a_check_that_is_owed_waits_in_a_task_of_its_own(world: Patient) -> None:
    assert world.outcome(world.lease(VmStart(vm=VM))) == Succeeded()
    vm = world.store.read(VM)
    world.backend.vm.set_domain_action_request(vm, DomainAction.REBOOT)
    world.service.cancel_next("d", 2)
    task = world.lease(VmPoweroff(vm=VM, timeout_s=None))
    assert world.outcome(task).error == Cancelled(task=str(task))
    assert world.state() is not PowerState.HALTED
    again = VmCheckState(vm=VM)
    assert [r for r in world.records if isinstance(r, Submitted) and r.operation == again]


def test_what_goes_on_says_so(world: Patient) -> None:
    task = world.lease(delay(0.01))
    world.read(Parked, task)
    assert world.read(Started, task).token == world.read(Finished, task).token
