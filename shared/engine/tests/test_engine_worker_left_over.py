import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from engine.conformance.samples import sample_vm, start_sample
from engine.journal import Journal, JournalEntry
from engine.simulator import Fail, Fault, Simulator, SimulatorSettings
from engine.store import FileStore
from engine.worker import WorkerService, WorkerSettings, host_of
from schema.atomics.vm import DomainAction, RenameWhen
from schema.fault import internal_error
from schema.ids import InstanceName, LeaseToken, TaskId, VmId, WorkerName
from schema.log_records import Stranded
from schema.migration import arrived_id, arriving_id, departing_id
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState
from schema.operations import VmMigrate, VmReceiveMemory, VmStart
from schema.records import Failed, Finished, Heartbeat, Removed, Succeeded

VM = VmId("1f5a1c9e-0000-4000-8000-0123456789ab")
DEPARTING, ARRIVING = departing_id(VM), arriving_id(VM)
PATIENCE_S = 120.0


class Failing:
    """A worker on a hypervisor that destroys nothing at the first two times, or always does."""

    def __init__(self, directory: Path, times: int = 2) -> None:
        faults = tuple(Fault(verb="VM.destroy", call=call + 1, effect=Fail()) for call in range(times))
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
        kept, deadline = self.service._stranded, time.monotonic() + PATIENCE_S
        kept.look()
        while kept._asking:
            assert time.monotonic() < deadline
            threading.Event().wait(0.005)

    def named(self) -> list[Stranded]:
        """What its signs of life name."""
        return list(self.service._stranded.standing())

    def shown(self) -> list[tuple[Stranded, ...]]:
        """What each of its signs of life in the log names."""
        log = [each.record for each in self.broker.log(InstanceName("i"))]
        return [record.stranded for record in log if isinstance(record, Heartbeat)]

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


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[int], Failing]]:
    with ExitStack() as stack:

        def make(times: int) -> Failing:
            failing = Failing(tmp_path, times)
            stack.callback(lambda: [bus.close() for bus in failing.buses])
            return failing

        yield make


@pytest.fixture
def failing(make: Callable[[int], Failing]) -> Failing:
    return make(2)


@pytest.mark.parametrize("vm", [DEPARTING, ARRIVING])
def test_what_is_left_over_is_taken_away_as_soon_as_the_hypervisor_can_by_whichever_worker_lives_then(
    failing: Failing, vm: VmId, caplog: pytest.LogCaptureFixture
) -> None:
    failing.leave_over(vm)
    assert failing.named() == []
    for _ in range(2):
        failing.look()
        assert failing.journal.kept() == [vm]
        where = "/nobody" if vm == DEPARTING else ""
        assert failing.named() == [Stranded(vm=vm, of=VM, state="left over", where=where)]
    assert caplog.text.count(f"VM {vm} is left over here from a migration") == 1
    failing.begin_anew()
    failing.look()
    assert failing.named() == []
    assert failing.journal.kept() == []
    assert failing.store.ids() == ()
    assert failing.backend.vm.get_state(sample_vm(vm)).power_state is PowerState.HALTED
    assert failing.removals() == ([ARRIVING] if vm == ARRIVING else [])


@pytest.mark.parametrize("vm", [DEPARTING, ARRIVING])
def test_a_worker_that_is_started_anew_names_at_once_what_stands_here(
    failing: Failing, vm: VmId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the signs of life that come by the clock, nor because it looked again."""
    monkeypatch.setattr("engine.worker.service.HEARTBEAT_S", 3600.0)
    monkeypatch.setattr("engine.worker.service.LOOK_AGAIN_S", 3600.0)
    left = failing.leave_over(vm)
    failing.journal.end(left, Finished(vm=vm, task=left.task, outcome=Succeeded(), token=left.token))
    failing.service.start()
    deadline = time.monotonic() + PATIENCE_S
    while not failing.shown():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
    where = "/nobody" if vm == DEPARTING else ""
    assert failing.shown() == [(Stranded(vm=vm, of=VM, state="left over", where=where),)]
    assert failing.journal.kept() == [vm]


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
    failing.look()
    failing.journal.begin(entry_of(DEPARTING, 3).model_copy(update={"operation": VmStart(vm=DEPARTING)}))
    assert len(failing.named()) == 1
    for _ in range(4):
        failing.look()
    assert failing.named() == []
    assert failing.store.ids() == (DEPARTING,)


def test_what_is_left_over_and_was_removed_by_an_operator_is_noted_no_more(failing: Failing) -> None:
    failing.leave_over(DEPARTING)
    failing.backend.vm.remove(sample_vm(DEPARTING))
    failing.store.remove(DEPARTING)
    failing.look()
    assert failing.journal.kept() == []


def arrive(failing: Failing) -> JournalEntry:
    """A VM has come, and its worker could give it no name, nor note that its task has ended."""
    configured = sample_vm(ARRIVING)
    failing.store.write(configured)
    start_sample(failing.backend, configured)
    failing.backend.vm.set_domain_action_request(configured, DomainAction.REBOOT)
    entry = entry_of(ARRIVING)
    failing.journal.begin(entry)
    failing.journal.note_handover(entry)
    return entry


def states(failing: Failing) -> tuple[PowerState, PowerState]:
    """As which it stands under its arriving id, and under its own."""
    verbs = failing.backend.vm
    at, named = (verbs.get_state(sample_vm(vm)).power_state for vm in (ARRIVING, VM))
    return at, named


def test_an_arrival_is_named_at_a_start_if_it_has_ended_and_is_there(failing: Failing) -> None:
    late = arrive(failing)
    failing.service._stranded.recall()
    assert failing.named() == []  # whoever starts puts it right
    full = Failed(error=InternalError(message="the disk is full"))
    failing.journal.end(late, Finished(vm=ARRIVING, task=late.task, outcome=full, token=late.token))
    failing.service._stranded.recall()
    assert failing.named() == [Stranded(vm=ARRIVING, of=VM, state="overdue")]
    failing.store.remove(ARRIVING)
    failing.begin_anew()._stranded.recall()
    assert failing.named() == []


@pytest.mark.parametrize("ended", [False, True])
def test_a_vm_that_could_not_take_its_name_takes_it_as_soon_as_it_can(
    failing: Failing, *, ended: bool, caplog: pytest.LogCaptureFixture
) -> None:
    late = arrive(failing)
    full = Failed(error=InternalError(message="the disk is full"))
    if ended:
        failing.journal.end(late, Finished(vm=ARRIVING, task=late.task, outcome=full, token=late.token))
    assert failing.journal.kept() == [ARRIVING]
    failing.look()
    assert failing.named() == []
    assert "has arrived here" in caplog.text
    assert failing.journal.kept() == []
    assert failing.store.ids() == (VM,)
    assert states(failing) == (PowerState.HALTED, PowerState.RUNNING)
    assert failing.removals() == [ARRIVING]
    noted = failing.journal.read(ARRIVING)
    assert noted is not None
    assert noted.finished is not None
    assert isinstance(noted.finished.outcome, Succeeded)
    assert failing.service.has_arrived(arrived_id(VM))


def test_of_a_vm_that_was_configured_anew_while_it_had_no_name_what_had_arrived_goes(
    failing: Failing,
) -> None:
    arrive(failing)
    failing.store.write(sample_vm(VM))
    for _ in range(2):  # its hypervisor fails
        failing.look()
        assert [one.state for one in failing.named()] == ["overdue"]
    failing.look()
    assert failing.named() == []
    assert failing.store.ids() == (VM,)
    assert states(failing) == (PowerState.HALTED, PowerState.HALTED)
    assert failing.removals()[-1] == ARRIVING


def test_a_vm_whose_name_is_half_taken_when_its_worker_dies_is_not_taken_for_one_configured_anew(
    failing: Failing,
) -> None:
    arrive(failing)
    failing.store.write(sample_vm(VM))
    failing.backend.vm.rename(ARRIVING, VM, RenameWhen.POST_MIGRATION)
    failing.look()
    assert failing.store.ids() == (VM,)
    assert states(failing) == (PowerState.HALTED, PowerState.RUNNING)


def test_a_vm_that_can_take_no_name_yet_is_not_put_right_by_what_its_domain_asks_for(
    make: Callable[[int], Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = make(0)
    late = arrive(failing)
    asked: list[object] = []

    def fail(*arguments: object) -> None:
        asked.append(arguments)
        raise internal_error("the hypervisor fails")

    with monkeypatch.context() as patched:
        patched.setattr("engine.migrate.stay.TRIES_TIMEOUT_S", 0.0)
        patched.setattr(failing.backend.vm, "rename", fail)
        failing.service._orphans.put_right(ARRIVING, late.task)
    assert len(asked) == 1
    assert states(failing) == (PowerState.PAUSED, PowerState.HALTED)
    failing.look()
    assert states(failing) == (PowerState.HALTED, PowerState.RUNNING)
