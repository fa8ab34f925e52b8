"""What checks find to do, and which checks a failure owes."""

from dataclasses import replace
from typing import get_args

import pytest
from engine.backend import Devices
from engine.check import Check, check_of, remedies
from engine.owed import owed_checks
from engine.view import DeviceRequest, Situation, VmView
from hypothesis import given, settings
from hypothesis import strategies as st
from schema.atomics import Atomic
from schema.atomics.pci import (
    PciDequarantine,
    PciPlug,
    PciUnplug,
    VgpuSetActive,
    VgpuStart,
    VusbPlug,
    VusbUnplug,
)
from schema.atomics.vbd import VbdEject, VbdSetQos, VbdUnplug
from schema.atomics.vif import VifSetCarrier, VifUnplug
from schema.atomics.vm import DomainAction, RenameWhen, VmDelay, VmImportMetadata, VmPause, VmRename
from schema.ids import DeviceId, VmId
from schema.objects.dynamic import (
    ObjectId,
    PciObject,
    TaskObject,
    VbdObject,
    VgpuObject,
    VifObject,
    VmObject,
    VusbObject,
)
from schema.objects.metadata import Metadata
from schema.objects.pci import PciAddress
from schema.objects.vm import Hvm, HvmInfo, PowerState, SchedulerParams, Vm, VmAction
from schema.operations import (
    AtomicOperation,
    Operation,
    PciCheckState,
    VbdCheckState,
    VbdHotplug,
    VbdHotunplug,
    VifCheckState,
    VifHotplug,
    VifHotunplug,
    VmCheckState,
    VmMigrate,
    VmPoweroff,
    VmReboot,
    VmReceiveMemory,
    VmRestoreDevices,
    VmShutdown,
    VmStart,
    VusbCheckState,
)

ID = VmId("vm")
DEVICE = DeviceId("vm", "0")
VM_CHECK = VmCheckState(vm=ID)
DEVICE_CHECKS: list[Check] = [
    PciCheckState(id=DEVICE),
    VbdCheckState(id=DEVICE),
    VifCheckState(id=DEVICE),
    VusbCheckState(id=DEVICE),
]
CHECKS = [VM_CHECK, *DEVICE_CHECKS]
VM = Vm(
    id=ID,
    ssidref=0,
    xsdata=(),
    platformdata=(),
    bios_strings=(),
    ty=Hvm(info=HvmInfo()),
    suppress_spurious_page_faults=False,
    memory_static_max=0,
    memory_dynamic_max=0,
    memory_dynamic_min=0,
    vcpu_max=1,
    vcpus=1,
    scheduler_params=SchedulerParams(affinity=()),
    on_crash=(VmAction.START,),
    on_shutdown=(VmAction.SHUTDOWN,),
    on_reboot=(VmAction.START,),
    pci_msitranslate=False,
    pci_power_mgmt=False,
)
RUNNING = Situation(PowerState.RUNNING, run_time_s=3600.0, minimum_reboot_delay_s=120.0)


def found(check: Check, situation: Situation, vm: Vm = VM) -> tuple[Operation, ...]:
    return remedies(check, VmView(vm, Devices(), situation))


def when_asked(action: DomainAction, vm: Vm = VM, run_time_s: float = 3600.0) -> tuple[Operation, ...]:
    return found(VM_CHECK, replace(RUNNING, domain_asks=action, run_time_s=run_time_s), vm)


def test_a_vm_that_asks_for_nothing_is_left_alone() -> None:
    assert found(VM_CHECK, RUNNING) == ()


def test_each_wish_leads_to_what_the_vm_is_configured_for() -> None:
    vm = VM.model_copy(
        update={
            "on_reboot": (VmAction.PAUSE,),
            "on_shutdown": (VmAction.COREDUMP,),
            "on_crash": (VmAction.COREDUMP, VmAction.PAUSE),
            "on_softreboot": (VmAction.START,),
        }
    )
    pause = AtomicOperation(atomic=VmPause(vm=ID))
    assert when_asked(DomainAction.REBOOT, vm) == (pause,)
    assert when_asked(DomainAction.POWEROFF, vm) == ()
    assert when_asked(DomainAction.CRASHDUMP, vm) == (pause,)
    assert when_asked(DomainAction.SOFTRESET, vm) == (VmReboot(vm=ID),)


def test_a_guest_that_suspends_unasked_is_shut_down() -> None:
    assert when_asked(DomainAction.SUSPEND) == (VmShutdown(vm=ID),)


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        (VmObject(id=ID), VM_CHECK),
        (PciObject(id=DEVICE), PciCheckState(id=DEVICE)),
        (VbdObject(id=DEVICE), VbdCheckState(id=DEVICE)),
        (VifObject(id=DEVICE), VifCheckState(id=DEVICE)),
        (VusbObject(id=DEVICE), VusbCheckState(id=DEVICE)),
        (VgpuObject(id=DEVICE), None),
        (TaskObject(id="1"), None),
    ],
)
def test_what_has_changed_by_itself_is_looked_at(changed: ObjectId, check: Check | None) -> None:
    assert check_of(changed) == check


@pytest.mark.parametrize(
    ("run_time_s", "remedy"), [(0.0, VmShutdown(vm=ID)), (119.9, VmShutdown(vm=ID)), (120.0, VmReboot(vm=ID))]
)
def test_a_crash_within_two_minutes_of_the_start_shuts_down_instead(
    run_time_s: float, remedy: Operation
) -> None:
    assert when_asked(DomainAction.CRASHDUMP, run_time_s=run_time_s) == (remedy,)


def test_a_reboot_sooner_than_the_backend_likes_waits_first() -> None:
    delay = AtomicOperation(atomic=VmDelay(vm=ID, delay_s=15.0))
    assert when_asked(DomainAction.REBOOT, run_time_s=119.9) == (delay, VmReboot(vm=ID))
    assert when_asked(DomainAction.REBOOT, run_time_s=120.0) == (VmReboot(vm=ID),)


@pytest.mark.parametrize(
    ("check", "unplug"),
    [
        (PciCheckState(id=DEVICE), PciUnplug(id=DEVICE)),
        (VbdCheckState(id=DEVICE), VbdUnplug(id=DEVICE, force=True)),
        (VifCheckState(id=DEVICE), VifUnplug(id=DEVICE, force=True)),
        (VusbCheckState(id=DEVICE), VusbUnplug(id=DEVICE)),
    ],
)
def test_a_device_is_unplugged_if_it_asks_or_if_its_vm_is_down(check: Check, unplug: Atomic) -> None:
    unplugged = (AtomicOperation(atomic=unplug),)
    asking = replace(RUNNING, device_asks=DeviceRequest.UNPLUG)
    assert found(check, asking) == unplugged
    assert found(check, replace(asking, power_state=PowerState.PAUSED)) == unplugged
    assert found(check, replace(RUNNING, power_state=PowerState.HALTED)) == unplugged
    assert found(check, replace(RUNNING, power_state=PowerState.SUSPENDED)) == unplugged
    assert found(check, RUNNING) == ()


@pytest.mark.parametrize("check", DEVICE_CHECKS)
def test_only_a_vbd_has_its_qos_set(check: Check) -> None:
    remedy = (AtomicOperation(atomic=VbdSetQos(id=DEVICE)),) if isinstance(check, VbdCheckState) else ()
    assert found(check, replace(RUNNING, device_asks=DeviceRequest.SET_QOS)) == remedy


@settings(max_examples=50, deadline=None)
@given(
    situation=st.builds(
        Situation,
        power_state=st.sampled_from(PowerState),
        domain_asks=st.none() | st.sampled_from(DomainAction),
        device_asks=st.none() | st.sampled_from(DeviceRequest),
        run_time_s=st.floats(min_value=0.0, max_value=1000.0),
    ),
    actions=st.lists(st.sampled_from(VmAction)).map(tuple),
)
def test_no_check_leads_to_another_check(situation: Situation, actions: tuple[VmAction, ...]) -> None:
    every_action = {
        "on_reboot": actions,
        "on_shutdown": actions,
        "on_crash": actions,
        "on_softreboot": actions,
    }
    vm = VM.model_copy(update=every_action)
    for check in CHECKS:
        assert not any(isinstance(remedy, Check) for remedy in found(check, situation, vm))


def owed_after(atomic: Atomic) -> tuple[Check, ...]:
    return owed_checks(AtomicOperation(atomic=atomic))


@pytest.mark.parametrize(
    "operation",
    [VmStart(vm=ID), VmPoweroff(vm=ID), VmReboot(vm=ID), VmRestoreDevices(vm=ID, restore_vifs=True)],
)
def test_an_operation_on_a_vm_owes_a_check_of_it(operation: Operation) -> None:
    assert owed_checks(operation) == (VM_CHECK,)


def test_an_operation_on_a_device_owes_a_check_of_it() -> None:
    assert owed_checks(VbdHotplug(id=DEVICE)) == (VbdCheckState(id=DEVICE),)
    assert owed_checks(VbdHotunplug(id=DEVICE)) == (VbdCheckState(id=DEVICE),)
    assert owed_checks(VifHotplug(id=DEVICE)) == (VifCheckState(id=DEVICE),)
    assert owed_checks(VifHotunplug(id=DEVICE)) == (VifCheckState(id=DEVICE),)


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_owes_no_check(check: Check) -> None:
    assert owed_checks(check) == ()


def test_a_migration_owes_a_check_of_both_its_vms() -> None:
    leaving = VmMigrate(
        vm=ID,
        vdi_map=(),
        vif_map=(),
        pci_map=(),
        url="",
        compress=False,
        verify_dest=False,
        localhost_migration=False,
    )
    arriving = VmReceiveMemory(
        vm=VmId("vm000000000001"), final=ID, memory_limit_bytes=0, socket="", compressed=False
    )
    assert owed_checks(leaving) == (VM_CHECK, VmCheckState(vm=VmId("vm000000000000")))
    assert owed_checks(arriving) == (VmCheckState(vm=VmId("vm000000000001")), VM_CHECK)


@pytest.mark.parametrize(
    ("atomic", "owed"),
    [
        (VbdEject(id=DEVICE), (VbdCheckState(id=DEVICE),)),
        (VifSetCarrier(id=DEVICE, carrier=True), (VifCheckState(id=DEVICE),)),
        (PciPlug(id=DEVICE, use_qmp=True), (PciCheckState(id=DEVICE),)),
        (PciUnplug(id=DEVICE), (PciCheckState(id=DEVICE),)),
        (PciDequarantine(address=PciAddress(domain=0, bus=0, dev=0, fn=0)), ()),
        (VusbPlug(id=DEVICE), (VusbCheckState(id=DEVICE),)),
        (VusbUnplug(id=DEVICE), (VusbCheckState(id=DEVICE),)),
        (VgpuSetActive(id=DEVICE, active=True), (VM_CHECK,)),
        (VgpuStart(ids=(DEVICE, DeviceId("vm", "1")), saved=True), (VM_CHECK,)),
        (VgpuStart(ids=(), saved=True), ()),
        (VmPause(vm=ID), (VM_CHECK,)),
        (VmImportMetadata(vm=ID, metadata=Metadata(vm=VM)), ()),
        (
            VmRename(vm=ID, name=VmId("other"), when=RenameWhen.PRE_MIGRATION),
            (VM_CHECK, VmCheckState(vm=VmId("other"))),
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_an_atomic_owes_a_check_of_what_it_touched(atomic: Atomic, owed: tuple[Check, ...]) -> None:
    assert owed_after(atomic) == owed


def test_every_atomic_that_there_is_can_be_asked_what_it_owes() -> None:
    families, _ = get_args(Atomic)
    kinds = [kind for family in get_args(families) for kind in get_args(get_args(family)[0])]
    for kind in kinds:
        assert set(
            map(type, owed_after(kind.model_construct(vm=ID, id=DEVICE, ids=(DEVICE,), name=ID)))
        ) <= set(get_args(Check))
    assert len(kinds) > 50
