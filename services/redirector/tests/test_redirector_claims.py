import pytest
from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append
from schema.ids import Offset, TaskId, VmId, WorkerName
from schema.migration import arriving_id, departing_id
from schema.operations import Operation, VmMigrate, VmPoweroff, VmReceiveMemory, VmStart
from schema.records import (
    Finished,
    LaneShared,
    Leased,
    Record,
    Removed,
    Submitted,
    Succeeded,
    WorkerUp,
)

VM = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")
GONE, COMING = departing_id(VM), arriving_id(VM)
OTHER = VmId("other")


class World:
    """A log, and the one redirector that leads on it."""

    def __init__(self, capacity: int = 10) -> None:
        self.log: list[Record] = []
        self.redirector = Redirector("me")
        for effect in self.redirector.on_leadership(held=True):
            assert isinstance(effect, Append)
            self.append(effect.record)
        for name in ("a", "b"):
            self.append(WorkerUp(worker=WorkerName(name), epoch="e", capacity=capacity))

    def append(self, record: Record) -> TaskId:
        offset = len(self.log)
        self.log.append(record)
        for effect in self.redirector.on_entry(Entry(Offset(offset), 0.0, record), 0.0):
            if isinstance(effect, Append):
                self.append(effect.record)
        return TaskId(offset)

    def submit(self, operation: Operation, vm: VmId) -> TaskId:
        number = str(len(self.log))
        return self.append(Submitted(vm=vm, operation=operation, request_id=number, dbg="", accept_by=9.0))

    def end(self, task: TaskId) -> None:
        vm = next(record.vm for record in self.log if isinstance(record, Leased) and record.task == task)
        self.append(Finished(vm=vm, task=task, outcome=Succeeded()))

    def worker(self, task: TaskId) -> WorkerName | None:
        found = [record for record in self.log if isinstance(record, Leased) and record.task == task]
        return found[0].worker if found else None

    def migrate(self) -> TaskId:
        return self.submit(
            VmMigrate(
                vm=VM,
                vdi_map=(),
                vif_map=(),
                pci_map=(),
                url="",
                compress=False,
                verify_dest=False,
                localhost_migration=True,
            ),
            VM,
        )

    def receive(self) -> TaskId:
        operation = VmReceiveMemory(vm=COMING, final=VM, memory_limit_bytes=0, socket="", compressed=False)
        return self.submit(operation, COMING)

    def power_off(self, vm: VmId) -> TaskId:
        return self.submit(VmPoweroff(vm=vm), vm)


@pytest.mark.parametrize("name", [VM, GONE])
def test_what_is_asked_of_a_departing_vm_waits_for_its_migration(name: VmId) -> None:
    world = World()
    departure = world.migrate()
    later = world.power_off(name)
    assert world.worker(later) is None
    world.end(departure)
    assert world.worker(later) == world.worker(departure)


@pytest.mark.parametrize("name", [VM, COMING])
def test_what_is_asked_of_an_arriving_vm_waits_for_its_arrival_and_goes_where_it_came(name: VmId) -> None:
    world = World()
    arrival = world.receive()
    later = world.power_off(name)
    assert world.worker(later) is None
    world.end(arrival)
    assert world.worker(later) == world.worker(arrival)


def test_within_one_host_both_sides_run_and_others_wait_for_both() -> None:
    world = World()
    departure, arrival = world.migrate(), world.receive()
    assert world.worker(arrival) is not None
    later = world.power_off(VM)
    world.end(departure)
    assert world.worker(later) is None
    world.end(arrival)
    assert world.worker(later) is not None


def test_arrivals_need_no_place_so_that_departures_cannot_take_them_all() -> None:
    world = World(capacity=1)
    world.submit(VmStart(vm=OTHER), OTHER)
    world.migrate()
    waits = world.submit(VmStart(vm=VmId("third")), VmId("third"))
    assert world.worker(world.receive()) is not None
    assert world.worker(waits) is None


def test_an_arrival_waits_for_a_worker_and_places_it_left_are_free() -> None:
    world = World(capacity=1)
    world.redirector.workers.go(WorkerName("a"), "e", 0.0)
    world.redirector.workers.go(WorkerName("b"), "e", 0.0)
    arrival = world.receive()
    assert world.worker(arrival) is None
    world.append(WorkerUp(worker=WorkerName("a"), epoch="f", capacity=1))
    assert world.worker(arrival) == "a"
    started = world.submit(VmStart(vm=OTHER), OTHER)
    assert world.worker(started) == "a"


def test_vms_on_one_shared_gpu_take_turns() -> None:
    world = World()
    for vm in (VM, OTHER):
        world.append(LaneShared(vm=vm, shares=True))
    first, second = world.submit(VmStart(vm=VM), VM), world.submit(VmStart(vm=OTHER), OTHER)
    assert world.worker(first) is not None
    assert world.worker(second) is None
    assert world.worker(world.submit(VmStart(vm=VmId("third")), VmId("third"))) is not None
    world.end(first)
    assert world.worker(second) is not None


@pytest.mark.parametrize(
    "end", [LaneShared(vm=OTHER, shares=False), Removed(vm=OTHER)], ids=["unshared", "gone"]
)
def test_a_vm_that_shares_no_longer_waits_for_nobody(end: Record) -> None:
    world = World()
    for vm in (VM, OTHER):
        world.append(LaneShared(vm=vm, shares=True))
    world.submit(VmStart(vm=VM), VM)
    second = world.submit(VmStart(vm=OTHER), OTHER)
    world.append(end)
    assert world.worker(second) is not None
