import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from engine.conformance.samples import sample_vm, start_sample
from engine.journal import Journal, JournalEntry
from engine.simulator import Fail, Fault, Simulator, SimulatorSettings
from engine.store import FileStore
from engine.worker import WorkerService, WorkerSettings, host_of
from schema.ids import InstanceName, LeaseToken, TaskId, VmId, WorkerName
from schema.migration import arriving_id, departing_id
from schema.objects.vm import PowerState
from schema.operations import VmMigrate, VmReceiveMemory, VmStart
from schema.records import Removed

VM = VmId("1f5a1c9e-0000-4000-8000-0123456789ab")
DEPARTING, ARRIVING = departing_id(VM), arriving_id(VM)
PATIENCE_S = 20.0


class Failing:
    """A worker on a hypervisor that destroys nothing at the first two times."""

    def __init__(self, directory: Path) -> None:
        faults = tuple(Fault(verb="VM.destroy", call=call, effect=Fail()) for call in (1, 2))
        self.backend = Simulator(SimulatorSettings(faults=faults))
        self.store = FileStore(directory / "metadata")
        self.directory = directory
        self.journal = Journal(directory / "state" / "journal")
        self.broker = MemoryBroker()
        self.buses: list[MemoryBus] = []
        self.service = self.begin_anew()

    def begin_anew(self) -> WorkerService:
        """A worker as it is before it has read its log."""
        self.buses.append(MemoryBus(self.broker, "worker"))
        settings = WorkerSettings(
            InstanceName("i"), WorkerName("w"), self.directory / "state", self.directory / "metadata"
        )
        self.service = WorkerService(self.buses[-1], settings, host_of(settings, self.backend, self.store))
        return self.service

    def leave_over(self, vm: VmId) -> JournalEntry:
        """There is a VM that runs under a temporary id, and the note that it shall go."""
        configured = sample_vm(vm)
        self.store.write(configured)
        start_sample(self.backend, configured)
        entry = entry_of(vm)
        self.journal.begin(entry)
        self.journal.leave_over(entry, vm)
        return entry

    def look(self) -> None:
        """What a worker does every 15 s."""
        kept, deadline = self.service._kept, time.monotonic() + PATIENCE_S
        kept.look()
        while kept._asking:
            assert time.monotonic() < deadline
            threading.Event().wait(0.005)

    def removals(self) -> list[VmId]:
        """Of which VMs it was told that they are no more."""
        log = [each.record for each in self.broker.log(InstanceName("i"))]
        return [record.vm for record in log if isinstance(record, Removed)]


def entry_of(vm: VmId, token: int = 2) -> JournalEntry:
    maps: dict[str, Any] = {"vdi_map": (), "vif_map": (), "pci_map": (), "verify_dest": False}
    departs = VmMigrate(vm=VM, url="unix:///nobody", compress=False, localhost_migration=False, **maps)
    arrives = VmReceiveMemory(vm=vm, final=VM, memory_limit_bytes=1, socket="", compressed=False)
    operation = departs if vm == DEPARTING else arrives
    return JournalEntry(vm=vm, task=TaskId(1), token=LeaseToken(token), life=1, operation=operation)


@pytest.fixture(name="failing")
def make_failing(tmp_path: Path) -> Iterator[Failing]:
    failing = Failing(tmp_path)
    yield failing
    for bus in failing.buses:
        bus.close()


@pytest.mark.parametrize("vm", [DEPARTING, ARRIVING])
def test_what_is_left_over_is_taken_away_as_soon_as_the_hypervisor_can_by_whichever_worker_lives_then(
    failing: Failing, vm: VmId, caplog: pytest.LogCaptureFixture
) -> None:
    failing.leave_over(vm)
    for _ in range(2):
        failing.look()
        assert failing.journal.kept() == [vm]
    assert caplog.text.count(f"VM {vm} is left over here from a migration") == 1
    failing.begin_anew()
    failing.look()
    assert failing.journal.kept() == []
    assert failing.store.ids() == ()
    assert failing.backend.vm.get_state(sample_vm(vm)).power_state is PowerState.HALTED
    assert failing.removals() == ([ARRIVING] if vm == ARRIVING else [])


def test_of_what_is_left_over_nobody_is_told_in_a_list_that_it_departs(failing: Failing) -> None:
    failing.leave_over(DEPARTING)
    assert failing.service.is_leaving(DEPARTING)


def test_an_arrival_that_was_left_over_still_fences_older_leases(failing: Failing) -> None:
    entry = failing.leave_over(ARRIVING)
    for _ in range(3):
        failing.look()
    assert failing.journal.read(ARRIVING) == entry


def test_what_somebody_has_asked_for_by_its_temporary_id_since_is_his(failing: Failing) -> None:
    failing.leave_over(DEPARTING)
    failing.journal.begin(entry_of(DEPARTING, 3).model_copy(update={"operation": VmStart(vm=DEPARTING)}))
    for _ in range(4):
        failing.look()
    assert failing.store.ids() == (DEPARTING,)


def test_what_is_left_over_and_was_removed_by_an_operator_is_noted_no_more(failing: Failing) -> None:
    failing.leave_over(DEPARTING)
    failing.backend.vm.remove(sample_vm(DEPARTING))
    failing.store.remove(DEPARTING)
    failing.look()
    assert failing.journal.kept() == []
