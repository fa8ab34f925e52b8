import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.conformance.samples import sample_vbd
from engine.journal import Journal
from engine.lock import VmLocks
from engine.simulator import Delay, Fail, Fault, Hang
from engine.simulator.vms import SimulatedVms
from engine.worker.reporter import INTERVAL_S
from schema.atomics.vm import DomainAction, VmRunScript
from schema.fault import XenopsError, internal_error
from schema.ids import LeaseToken, TaskId, Term, VmId
from schema.log_records import LifeBegan
from schema.objects.dynamic import VbdObject, VmObject
from schema.objects.errors import BadPowerState, Cancelled, DoesNotExist, InternalError
from schema.objects.vm import PowerState, Vm
from schema.operations import (
    AtomicOperation,
    Operation,
    VmCheckState,
    VmMigrate,
    VmPoweroff,
    VmReboot,
    VmStart,
)
from schema.records import (
    CancelRequested,
    Changed,
    Failed,
    Finished,
    Leased,
    Parked,
    Progress,
    Removed,
    Started,
    Submitted,
    Succeeded,
    WorkerUp,
)
from typing_extensions import override
from worker_in_hand import INSTANCE, PATIENCE_S, VM, WORKER, World, entry_of, failure


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


class Asked(SimulatedVms):
    """Counts how often it is asked what a domain wants."""

    asked = 0

    @override
    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        self.asked += 1
        return super().get_domain_action_request(vm)


def test_a_start_makes_few_records_and_leaves_the_vm_paused(world: World) -> None:
    finished = world.run(VmStart(vm=VM))
    assert finished.outcome == Succeeded()
    assert world.state() is PowerState.PAUSED
    assert VbdObject(id=sample_vbd().id) in finished.changed
    assert VmObject(id=VM) in finished.changed
    assert dict(finished.debug_info)["cancel_points_seen"].isdecimal()
    ours = [record for record in world.records if isinstance(record, Started | Progress | Finished)]
    assert len(ours) <= 3 + finished.duration_s / INTERVAL_S  # however busy the machine is


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


def test_a_vm_that_shall_go_nowhere_stays_and_is_told_where_it_may_go(world: World) -> None:
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
    assert "use http://HOST:PORT" in failure(world.run(migrate)).message
    assert world.state() is PowerState.PAUSED


def test_a_task_that_hangs_ends_at_once_when_cancelled(tmp_path: Path) -> None:
    world = World(tmp_path, Fault(verb="VM.build", call=1, effect=Hang()))
    task = world.lease(VmStart(vm=VM))
    world.wait_for(lambda record: isinstance(record, Started) and record.task == task)
    world.leader.append(INSTANCE, CancelRequested(vm=VM, task=task))
    assert failure(world.end_of(task)) == Cancelled(task=str(task))
    world.close()


def test_a_slow_start_tells_what_changes_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path, Fault(verb="VM.create_device_model", effect=Delay(seconds=0.3)))
    task = world.lease(VmStart(vm=VM))
    started = world.wait_for(lambda record: isinstance(record, Started) and record.task == task)
    progress = world.wait_for(lambda record: isinstance(record, Progress) and record.task == task)
    assert started.token == progress.token
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


def test_an_error_of_letters_that_no_record_can_hold_ends_its_task_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object, **__: object) -> None:
        raise internal_error("cannot open /disks/\udcff")

    monkeypatch.setattr(world.backend.vm, "build", build)
    error = failure(world.run(VmStart(vm=VM)))
    assert isinstance(error, InternalError)
    assert r"\udcff" in error.message


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


@pytest.mark.parametrize("verb", ["VM.build", "VBD.attach", "VM.create_device_model"])
def test_a_start_that_cannot_succeed_leaves_the_vm_halted(world: World, verb: str) -> None:
    world.restart(Fault(verb=verb, effect=Fail()))
    assert isinstance(world.run(VmStart(vm=VM)).outcome, Failed)
    assert world.state() is PowerState.HALTED


def test_a_reboot_by_the_guest_that_cannot_succeed_leaves_the_vm_halted(world: World) -> None:
    world.run(VmStart(vm=VM))
    world.restart(Fault(verb="VM.build", effect=Fail()))
    world.backend.trigger("reboot", [VM])
    assert isinstance(world.run(VmCheckState(vm=VM)).outcome, Failed)
    assert world.state() is PowerState.HALTED


def test_a_worker_that_died_in_a_start_puts_the_vm_right_and_says_so(world: World) -> None:
    world.end()
    task = world.lease(VmStart(vm=VM))
    Journal(world.directory / "state" / "journal").begin(entry_of(world, task))
    world.start()
    error = failure(world.end_of(task))
    assert "was restarted while it executed this" in error.message
    assert world.run(VmPoweroff(vm=VM)).outcome == Succeeded()
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()


def test_what_a_dead_worker_has_begun_is_put_right_though_it_was_cancelled_since(world: World) -> None:
    world.end()
    task = world.lease(VmStart(vm=VM))
    begun = entry_of(world, task)
    Journal(world.directory / "state" / "journal").begin(begun)
    world.leader.append(INSTANCE, Parked(vm=VM, task=task, token=begun.token, until=0.0))
    world.leader.append(INSTANCE, CancelRequested(vm=VM, task=task))
    world.start()
    assert "the VM was put right" in failure(world.end_of(task)).message
    assert not list(Journal(world.directory / "state" / "journal").unfinished())


def test_what_is_asked_of_a_vm_that_is_kept_waits_for_no_destination(world: World) -> None:
    maps: dict[str, Any] = {"vdi_map": (), "vif_map": (), "pci_map": (), "verify_dest": False}
    left = VmMigrate(vm=VmId("own"), url="unix:///nobody", compress=False, localhost_migration=False, **maps)
    kept = entry_of(world, TaskId(-2)).model_copy(update={"operation": left, "handed_over": True})
    Journal(world.directory / "state" / "journal").begin(kept)
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()


def test_an_execution_that_nobody_leases_any_more_is_put_right_at_the_next_start(world: World) -> None:
    world.run(VmStart(vm=VM))
    world.end()
    Journal(world.directory / "state" / "journal").begin(entry_of(world, TaskId(98)))
    world.start()
    world.wait_for(lambda record: isinstance(record, Changed) and record.changed == (VmObject(id=VM),))


def test_what_is_noted_of_vms_that_are_no_more_is_forgotten_at_the_next_start_but_for_the_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.removed.REMOVED_KEPT", 0)
    world.run(VmStart(vm=VM))
    gone = VmId("gone")
    submitted = Submitted(vm=gone, operation=VmStart(vm=gone), request_id="g", dbg="d", accept_by=9.0)
    world.leader.append(INSTANCE, submitted)
    task = TaskId(len(world.broker.log(INSTANCE)) - 1)
    world.leader.append(INSTANCE, Leased(vm=gone, task=task, worker=WORKER, term=Term(0)))
    world.end_of(task)
    with VmLocks(world.directory / "state" / "locks").held(gone, time.sleep):
        pass  # the task lets go of it just after it has told its end
    epochs = {record.epoch for record in world.records if isinstance(record, WorkerUp)}
    world.restart()
    world.wait_for(lambda record: isinstance(record, WorkerUp) and record.epoch not in epochs)
    kept = [
        [path.name for path in (world.directory / "state" / kind).iterdir()] for kind in ("locks", "journal")
    ]
    assert kept == [[VM], [f"{VM}.json"]]


def test_a_worker_that_a_new_life_of_its_log_does_not_know_tells_of_every_vm(world: World) -> None:
    gone = VmId("gone")
    finished = Finished(vm=gone, task=TaskId(98), outcome=Succeeded(), token=LeaseToken(99))
    entry = entry_of(world, TaskId(98)).model_copy(update={"vm": gone})
    Journal(world.directory / "state" / "journal").end(entry, finished)
    world.leader.append(INSTANCE, LifeBegan(reason="a test")).result(PATIENCE_S)
    world.restart()
    world.wait_for(lambda record: record == Changed(vm=gone, changed=(VmObject(id=gone),)))
    told = next(record for record in world.records if isinstance(record, Changed) and record.vm == VM)
    assert told.changed == (VbdObject(id=sample_vbd().id), VmObject(id=VM))


def test_a_worker_whose_store_cannot_say_what_there_is_serves_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise internal_error("the store is away")

    monkeypatch.setattr(world.store, "ids", refuse)
    world.leader.append(INSTANCE, LifeBegan(reason="a test")).result(PATIENCE_S)
    world.restart()
    assert "the store is away" in caplog.text
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()


def test_a_guest_that_reboots_by_itself_is_checked(world: World) -> None:
    world.run(VmStart(vm=VM))
    world.backend.trigger("reboot", [VM])
    check = world.wait_for(lambda record: isinstance(record, Submitted) and record.dbg == "event")
    assert check.operation.kind == "VM_check_state"
    assert world.run(check.operation).outcome == Succeeded()
    assert world.state() is PowerState.RUNNING


def test_only_so_many_cancel_triggers_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.service.TRIGGERS_MAX", 1)
    world.service.cancel_next("a", 1)
    with pytest.raises(XenopsError, match="start the tasks that they are for"):
        world.service.cancel_next("b", 1)


def test_a_worker_that_stops_says_so(world: World) -> None:
    world.service.set_capacity(3)
    world.service.stop()
    world.wait_for(lambda record: record.kind == "WorkerDown")
    assert [record.capacity for record in world.records if record.kind == "WorkerUp"][-1] == 3


def test_what_was_noted_of_a_vm_goes_with_it_when_there_is_no_room_for_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.removed.REMOVED_KEPT", 0)
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()
    assert world.run(VmPoweroff(vm=VM)).outcome == Succeeded()
    noted = world.directory / "state" / "journal" / f"{VM}.json"
    assert noted.exists()
    world.store.remove(VM)
    world.leader.append(INSTANCE, Removed(vm=VM))
    deadline = time.monotonic() + PATIENCE_S
    while noted.exists():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_what_was_noted_of_a_vm_that_has_come_again_stays(world: World) -> None:
    assert world.run(VmStart(vm=VM)).outcome == Succeeded()
    world.leader.append(INSTANCE, Removed(vm=VM))
    assert world.run(VmPoweroff(vm=VM)).outcome == Succeeded()
    assert (world.directory / "state" / "journal" / f"{VM}.json").exists()


def test_what_a_domain_wants_is_asked_for_its_check_alone(world: World) -> None:
    vms = world.backend.vm = Asked(world.backend._hypervisor)
    world.run(VmStart(vm=VM))
    assert vms.asked == 0
    world.run(VmCheckState(vm=VM))
    assert vms.asked > 0
