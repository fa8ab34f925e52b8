import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Entry, Request
from bus.process import SettingsError
from bus.topology import control_queue
from engine.conformance.samples import sample_vbd, sample_vm
from engine.journal import Journal, JournalEntry
from engine.simulator import Delay, Fail, Fault, Simulator, SimulatorSettings
from engine.store import FileStore
from engine.worker import WorkerService, WorkerSettings
from engine.worker.settings import worker_settings
from schema import rpc
from schema.atomics.vm import VmDelay, VmRunScript
from schema.ids import InstanceName, LeaseToken, TaskId, Term, VmId, WorkerName
from schema.objects.dynamic import VbdObject, VmObject
from schema.objects.errors import BadPowerState, Cancelled, DoesNotExist, InternalError, Unimplemented
from schema.objects.vm import PowerState
from schema.operations import AtomicOperation, Operation, VmMigrate, VmPoweroff, VmReboot, VmStart
from schema.records import (
    CancelRequested,
    Changed,
    Elected,
    Failed,
    Finished,
    Leased,
    Progress,
    Record,
    Started,
    Submitted,
    Succeeded,
)

INSTANCE = InstanceName("i")
WORKER = WorkerName("w")
VM = VmId("v1")
PATIENCE_S = 20.0


class World:
    """One worker on a simulator, and a test that leads."""

    def __init__(self, directory: Path, *faults: Fault) -> None:
        self.directory = directory
        self.broker = MemoryBroker()
        self.leader = MemoryBus(self.broker, "leader")
        self.records: list[Record] = []
        self._more = threading.Condition()
        self.leader.tail(INSTANCE, BEGINNING, self._on_entry, lambda: None)
        self.leader.append(INSTANCE, Elected(redirector="test"))
        self.store = FileStore(directory / "metadata")
        self.store.write(sample_vm())
        self.store.vbds.write(sample_vbd())
        self.start(*faults)

    def start(self, *faults: Fault) -> None:
        self.backend = Simulator(SimulatorSettings(state=self.directory / "host", faults=faults))
        self.bus = MemoryBus(self.broker, "worker")
        settings = WorkerSettings(
            INSTANCE, WORKER, self.directory / "state", self.directory / "metadata", self.directory / "hooks"
        )
        self.service = WorkerService(self.bus, settings, self.backend, self.store)
        self.service.start()
        self.bus.ready(PATIENCE_S)

    def _on_entry(self, entry: Entry) -> None:
        with self._more:
            self.records.append(entry.record)
            self._more.notify_all()

    def wait_for(self, what: Callable[[Record], bool]) -> Any:
        with self._more:
            assert self._more.wait_for(lambda: any(map(what, self.records)), PATIENCE_S), self.records
            return next(record for record in self.records if what(record))

    def lease(self, operation: Operation, dbg: str = "d") -> TaskId:
        submitted = Submitted(vm=VM, operation=operation, request_id="r", dbg=dbg, accept_by=9.0)
        self.leader.append(INSTANCE, submitted)
        task = TaskId(len(self.broker.log(INSTANCE)) - 1)
        assert self.broker.log(INSTANCE)[task].record == submitted
        self.leader.append(INSTANCE, Leased(vm=VM, task=task, worker=WORKER, term=Term(0)))
        return task

    def end_of(self, task: TaskId) -> Finished:
        found = self.wait_for(lambda record: isinstance(record, Finished) and record.task == task)
        assert isinstance(found, Finished)
        return found

    def run(self, operation: Operation, dbg: str = "d") -> Finished:
        return self.end_of(self.lease(operation, dbg))

    def state(self) -> PowerState:
        return self.backend.vm.get_state(self.store.read(VM)).power_state

    def end(self) -> None:
        self.bus.close()
        self.backend.stop()

    def restart(self, *faults: Fault) -> None:
        self.end()
        self.start(*faults)

    def close(self) -> None:
        self.end()
        self.leader.close()


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def entry_of(task: TaskId) -> JournalEntry:
    """As the worker that was leased this task at once would have noted it."""
    return JournalEntry(vm=VM, task=task, token=LeaseToken(task + 1), operation=VmStart(vm=VM))


def failure(finished: Finished) -> Any:
    assert isinstance(finished.outcome, Failed)
    return finished.outcome.error


def test_a_start_makes_two_records_and_leaves_the_vm_paused(world: World) -> None:
    finished = world.run(VmStart(vm=VM))
    assert finished.outcome == Succeeded()
    assert world.state() is PowerState.PAUSED
    assert VbdObject(id=sample_vbd().id) in finished.changed
    assert VmObject(id=VM) in finished.changed
    assert dict(finished.debug_info)["cancel_points_seen"].isdecimal()
    ours = [record for record in world.records if isinstance(record, Started | Progress | Finished)]
    assert len(ours) <= 3


def test_a_vm_goes_through_its_life(world: World) -> None:
    for operation, state in (
        (VmStart(vm=VM), PowerState.PAUSED),
        (VmReboot(vm=VM), PowerState.RUNNING),
        (VmPoweroff(vm=VM), PowerState.HALTED),
    ):
        assert world.run(operation).outcome == Succeeded()
        assert world.state() is state


def test_what_a_script_gave_is_the_tasks_result(world: World) -> None:
    world.run(VmStart(vm=VM))
    outcome = world.run(AtomicOperation(atomic=VmRunScript(vm=VM, script="true"))).outcome
    assert outcome == Succeeded(result={"rc": 0, "stdout": "", "stderr": ""})


def test_an_unknown_vm_does_not_exist(world: World) -> None:
    world.store.remove(VM)
    assert failure(world.run(VmStart(vm=VM))) == DoesNotExist(klass="VM", id="v1/config")


def test_a_vm_in_the_wrong_state_is_left_alone(world: World) -> None:
    error = failure(world.run(VmReboot(vm=VM)))
    assert error == BadPowerState(found=PowerState.HALTED, expected=PowerState.RUNNING)


def test_what_cannot_be_planned_yet_says_so(world: World) -> None:
    world.run(VmStart(vm=VM))
    migrate = VmMigrate(
        vm=VM,
        vdi_map=(),
        vif_map=(),
        pci_map=(),
        url="",
        compress=False,
        verify_dest=False,
        localhost_migration=False,
    )
    assert isinstance(failure(world.run(migrate)), Unimplemented)


def test_a_long_task_tells_its_progress_and_ends_at_once_when_cancelled(world: World) -> None:
    task = world.lease(AtomicOperation(atomic=VmDelay(vm=VM, delay_s=3600.0)))
    world.wait_for(lambda record: isinstance(record, Started) and record.task == task)
    world.leader.append(INSTANCE, CancelRequested(vm=VM, task=task))
    assert failure(world.end_of(task)) == Cancelled(task=str(task))


def test_a_slow_start_tells_what_changes_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path, Fault(verb="VM.create_device_model", effect=Delay(seconds=0.3)))
    task = world.lease(VmStart(vm=VM))
    progress = world.wait_for(lambda record: isinstance(record, Progress) and record.task == task)
    assert 0.0 < progress.fraction < 1.0
    assert world.end_of(task).outcome == Succeeded()
    world.close()


def test_a_bug_fails_the_task_and_costs_the_worker_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.backend.vm.build = None  # type: ignore[assignment, method-assign]
    error = failure(world.run(VmStart(vm=VM)))
    assert isinstance(error, InternalError)
    assert "TypeError" in error.message
    assert "a bug" in caplog.text
    del world.backend.vm.build
    world.run(VmPoweroff(vm=VM))
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()


def test_a_start_can_be_cancelled_at_each_of_its_points_and_the_vm_be_shut_down(world: World) -> None:
    point = 0
    while True:
        point += 1
        world.service.cancel_next("sweep", point)
        outcome = world.run(VmStart(vm=VM), "sweep").outcome
        assert world.run(VmPoweroff(vm=VM)).outcome == Succeeded()
        assert world.state() is PowerState.HALTED
        if outcome == Succeeded():
            break
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, Cancelled)
    assert point > 5


BEST_EFFORT = "VM.pause"
STEPS: list[tuple[Operation, str]] = [
    *((VmStart(vm=VM), verb) for verb in ("VM.create", "VM.build", "VBD.set_active", "VBD.attach")),
    *((VmStart(vm=VM), verb) for verb in ("VBD.activate", "VM.create_device_model")),
    *((VmReboot(vm=VM), verb) for verb in (BEST_EFFORT, "VBD.deactivate", "VM.destroy", "VM.create")),
    *((VmPoweroff(vm=VM), verb) for verb in ("VM.destroy_device_model", "VBD.detach", "VM.destroy")),
]


@pytest.mark.parametrize(("operation", "verb"), STEPS, ids=[f"{o.kind}-{verb}" for o, verb in STEPS])
def test_an_operation_may_fail_at_each_verb_and_the_vm_stays_manageable(
    world: World, operation: Operation, verb: str
) -> None:
    if not isinstance(operation, VmStart):
        world.run(VmStart(vm=VM))
    world.restart(Fault(verb=verb, call=1, effect=Fail()))
    outcome = world.run(operation).outcome
    assert isinstance(outcome, Succeeded if verb == BEST_EFFORT else Failed)
    world.restart()
    assert world.run(VmPoweroff(vm=VM)).outcome == Succeeded()
    assert world.state() is PowerState.HALTED
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()


def test_a_worker_that_died_in_a_start_puts_the_vm_right_and_says_so(world: World) -> None:
    world.end()
    task = world.lease(VmStart(vm=VM))
    Journal(world.directory / "state" / "journal").begin(entry_of(task))
    world.start()
    error = failure(world.end_of(task))
    assert "was restarted while it executed this" in error.message
    assert world.run(VmPoweroff(vm=VM)).outcome == Succeeded()
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()


def test_a_finished_task_whose_record_was_lost_is_told_again(world: World) -> None:
    world.end()
    task = world.lease(VmStart(vm=VM))
    outcome = Succeeded(result="as before")
    finished = Finished(vm=VM, task=task, outcome=outcome, token=LeaseToken(task + 1))
    Journal(world.directory / "state" / "journal").end(entry_of(task), finished)
    world.start()
    assert world.end_of(task) == finished
    assert world.state() is PowerState.HALTED


def test_an_execution_that_nobody_leases_any_more_is_put_right_at_the_next_start(world: World) -> None:
    world.run(VmStart(vm=VM))
    world.end()
    Journal(world.directory / "state" / "journal").begin(entry_of(TaskId(98)))
    world.start()
    world.wait_for(lambda record: isinstance(record, Changed) and record.changed == (VmObject(id=VM),))


def test_a_lease_older_than_the_last_execution_is_not_obeyed(world: World) -> None:
    finished = Finished(vm=VM, task=TaskId(98), outcome=Succeeded(), token=LeaseToken(99))
    Journal(world.directory / "state" / "journal").end(entry_of(TaskId(98)), finished)
    world.lease(VmStart(vm=VM))
    world.service.stop()
    world.restart()
    assert world.state() is PowerState.HALTED
    assert not any(isinstance(record, Started | Finished) for record in world.records)


def test_a_guest_that_reboots_by_itself_is_checked(world: World) -> None:
    world.run(VmStart(vm=VM))
    world.backend.trigger("reboot", [VM])
    check = world.wait_for(lambda record: isinstance(record, Submitted) and record.dbg == "event")
    assert check.operation.kind == "VM_check_state"
    assert world.run(check.operation).outcome == Succeeded()
    assert world.state() is PowerState.RUNNING


def test_requests_of_the_control_queue_are_answered(world: World) -> None:
    body = rpc.encode_request("VM.exists", debug_info="d", id=VM)
    answer = world.leader.call(control_queue(INSTANCE), body, PATIENCE_S)
    assert rpc.decode_response("VM.exists", answer) is True
    world.leader.send(control_queue(INSTANCE), Request(b"nobody waits"))


def test_a_worker_that_stops_says_so(world: World) -> None:
    world.service.set_capacity(3)
    world.service.stop()
    world.wait_for(lambda record: record.kind == "WorkerDown")
    assert [record.capacity for record in world.records if record.kind == "WorkerUp"][-1] == 3


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    environment = {"XENOPS_BROKER": "amqp://x/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": str(tmp_path)}
    settings = worker_settings(environment | {"XENOPS_WORKER": "w", "XENOPS_CAPACITY": "4"})
    assert (settings.instance, settings.name, settings.capacity) == (INSTANCE, WORKER, 4)
    assert settings.metadata == tmp_path / "metadata"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"XENOPS_INSTANCE": "a,b"}, "a worker serves one"),
        ({"XENOPS_STATE_DIR": ""}, "XENOPS_STATE_DIR is not set"),
        ({"XENOPS_CAPACITY": "0"}, "XENOPS_CAPACITY"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(change: dict[str, str], words: str) -> None:
    environment = {"XENOPS_BROKER": "amqp://x/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": "s"}
    with pytest.raises(SettingsError, match=words):
        worker_settings(environment | change)
