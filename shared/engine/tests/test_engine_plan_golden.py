"""All plans as reviewed: `plans/<shape>.txt` shows what each operation does to a VM of that shape.

After a change that is meant, write them anew and review the difference:

    XENOPS_WRITE_PLANS=1 .venv/bin/pytest shared/engine/tests/test_engine_plan_golden.py
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from engine.backend import Devices
from engine.plan import DeviceRequest, Serial, Situation, VmView, migrate, plan
from engine.plan.groups import Steps
from engine.plan.text import render
from schema.atomics.vm import DomainAction, VmPause
from schema.fault import XenopsError
from schema.ids import DeviceId, VmId
from schema.migration import arriving_id, departing_id
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import Unimplemented
from schema.objects.pci import Pci, PciAddress
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vgpu import GvtG, GvtGVgpu, MxGpu, MxGpuVgpu, Nvidia, NvidiaVgpu, Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import (
    BuilderInfo,
    Hvm,
    HvmInfo,
    IndirectBoot,
    PowerState,
    Pv,
    PvIndirectBoot,
    PvInfo,
    SchedulerParams,
    Vm,
    VmAction,
)
from schema.objects.vusb import Vusb
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
    VmRestoreVifs,
    VmResume,
    VmShutdown,
    VmStart,
    VmSuspend,
    VusbCheckState,
)

PLANS = Path(__file__).parent / "plans"

VM = VmId("vm")
SECONDS_TO_SHUT_DOWN = 1200.0
IMAGE = Vdi(name="suspend-image")
MIB = 1 << 20


def a_vm(ty: BuilderInfo, memory_dynamic_min: int = 128 * MIB) -> Vm:
    return Vm(
        id=VM,
        ssidref=0,
        xsdata=(),
        platformdata=(),
        bios_strings=(),
        ty=ty,
        suppress_spurious_page_faults=False,
        memory_static_max=256 * MIB,
        memory_dynamic_max=256 * MIB,
        memory_dynamic_min=memory_dynamic_min,
        vcpu_max=2,
        vcpus=2,
        scheduler_params=SchedulerParams(affinity=()),
        on_crash=(VmAction.COREDUMP, VmAction.START),
        on_shutdown=(VmAction.SHUTDOWN,),
        on_reboot=(VmAction.START,),
        on_softreboot=(VmAction.SOFTREBOOT,),
        pci_msitranslate=False,
        pci_power_mgmt=False,
    )


def address(device: int, function: int = 0) -> PciAddress:
    return PciAddress(domain=0, bus=0, dev=device, fn=function)


def named(device: str) -> DeviceId:
    return DeviceId(VM, device)


HVM = Hvm(info=HvmInfo())
PV = Pv(info=PvInfo(boot=IndirectBoot(boot=PvIndirectBoot())))

CD = Vbd(id=named("xvdd"), mode=VbdMode.READ_ONLY, ty=VbdType.CDROM)
CD_WITH_MEDIUM = CD.model_copy(update={"id": named("xvdc"), "backend": LocalDisk(path="/iso/tools.iso")})
SYSTEM_DISK = Vbd(id=named("xvda"), backend=Vdi(name="sr/system"))
SCRATCH_DISK = Vbd(id=named("xvdb"), backend=Vdi(name="sr/scratch"), persistent=False)

SRIOV_FUNCTION = address(4, 2)
NVIDIA_SRIOV = Vgpu(
    id=named("0"),
    position=0,
    physical_pci_address=address(4),
    virtual_pci_address=SRIOV_FUNCTION,
    implementation=NvidiaVgpu(config=Nvidia()),
)
GVT = Vgpu(
    id=named("1"),
    position=1,
    physical_pci_address=address(2),
    implementation=GvtGVgpu(config=GvtG(low_gm_sz=128, high_gm_sz=384, fence_sz=4)),
)
MXGPU = Vgpu(
    id=named("0"), implementation=MxGpuVgpu(config=MxGpu(vgpus_per_pgpu=16, framebufferbytes=256 * MIB))
)


def vusb(name: str) -> Vusb:
    return Vusb(id=named(name), hostbus="1", hostport=name, version="2.0", path="", speed=480.0)


SHAPES = {
    "pv-without-devices": VmView(a_vm(PV), Devices()),
    "hvm-with-one-of-each": VmView(
        a_vm(HVM),
        Devices(
            vbds=(SYSTEM_DISK,),
            vifs=(Vif(id=named("0")),),
            pcis=(Pci(id=named("0"), position=0, address=address(5)),),
            vgpus=(MXGPU,),
            vusbs=(vusb("1-1"),),
        ),
    ),
    "hvm-with-disks-and-vifs": VmView(
        a_vm(HVM),
        Devices(
            vbds=(CD_WITH_MEDIUM, SYSTEM_DISK, CD, SCRATCH_DISK),
            vifs=(
                Vif(id=named("1"), position=1),
                Vif(id=named("2"), position=2),
                Vif(id=named("0"), position=0),
            ),
        ),
    ),
    "hvm-with-passthrough": VmView(
        a_vm(HVM, memory_dynamic_min=256 * MIB),
        Devices(
            vbds=(CD,),
            pcis=(
                Pci(id=named("2"), position=2, address=address(6)),
                Pci(id=named("1"), position=1, address=address(5)),
                Pci(id=named("0"), position=0, address=SRIOV_FUNCTION),
            ),
            vgpus=(NVIDIA_SRIOV, GVT),
            vusbs=(vusb("1-1"), vusb("1-2")),
        ),
    ),
}

WHOLE_VM_OPERATIONS: dict[str, Operation] = {
    "start": VmStart(vm=VM),
    "start, forced": VmStart(vm=VM, force=True),
    "power-off, clean": VmPoweroff(vm=VM, timeout_s=SECONDS_TO_SHUT_DOWN),
    "power-off, hard": VmPoweroff(vm=VM),
    "shutdown, clean": VmShutdown(vm=VM, timeout_s=SECONDS_TO_SHUT_DOWN),
    "shutdown, hard": VmShutdown(vm=VM),
    "reboot, clean": VmReboot(vm=VM, timeout_s=SECONDS_TO_SHUT_DOWN),
    "reboot, hard": VmReboot(vm=VM),
    "suspend": VmSuspend(vm=VM, image=IMAGE),
    "resume": VmResume(vm=VM, image=IMAGE),
    "restore VIFs": VmRestoreVifs(vm=VM),
    "restore devices and VIFs": VmRestoreDevices(vm=VM, restore_vifs=True),
    "restore devices": VmRestoreDevices(vm=VM, restore_vifs=False),
}

SINGLE_DEVICE_OPERATIONS: dict[str, Operation] = {
    "plug a VBD": VbdHotplug(id=named("xvda")),
    "unplug a VBD": VbdHotunplug(id=named("xvda")),
    "unplug a VBD by force": VbdHotunplug(id=named("xvda"), force=True),
    "plug a VIF": VifHotplug(id=named("0")),
    "unplug a VIF": VifHotunplug(id=named("0")),
    "unplug a VIF by force": VifHotunplug(id=named("0"), force=True),
    "pause": AtomicOperation(atomic=VmPause(vm=VM)),
}

VM_CHECK = VmCheckState(vm=VM)
LONG_S = 3600.0


def running(
    asks: DomainAction | None = None, device_asks: DeviceRequest | None = None, run_time_s: float = LONG_S
) -> Situation:
    return Situation(PowerState.RUNNING, asks, device_asks, run_time_s, minimum_reboot_delay_s=120.0)


CHECKS: dict[str, tuple[Operation, Situation]] = {
    "the VM asks for nothing": (VM_CHECK, running()),
    "the VM asks for a reboot": (VM_CHECK, running(DomainAction.REBOOT)),
    "the VM asks for a reboot too soon": (VM_CHECK, running(DomainAction.REBOOT, run_time_s=119.9)),
    "the VM has halted": (VM_CHECK, running(DomainAction.POWEROFF)),
    "the VM has crashed": (VM_CHECK, running(DomainAction.CRASHDUMP, run_time_s=120.0)),
    "the VM has crashed soon after its start": (VM_CHECK, running(DomainAction.CRASHDUMP, run_time_s=119.9)),
    "the VM has suspended unasked": (VM_CHECK, running(DomainAction.SUSPEND)),
    "the VM asks for a soft reset": (VM_CHECK, running(DomainAction.SOFTRESET)),
    "a VBD asks for nothing": (VbdCheckState(id=named("xvda")), running()),
    "a VBD asks to be unplugged": (
        VbdCheckState(id=named("xvda")),
        running(device_asks=DeviceRequest.UNPLUG),
    ),
    "a VBD asks for its QoS": (VbdCheckState(id=named("xvda")), running(device_asks=DeviceRequest.SET_QOS)),
    "a VBD of a VM that does not run": (VbdCheckState(id=named("xvda")), Situation()),
    "a VIF asks to be unplugged": (VifCheckState(id=named("0")), running(device_asks=DeviceRequest.UNPLUG)),
    "a VIF asks for its QoS": (VifCheckState(id=named("0")), running(device_asks=DeviceRequest.SET_QOS)),
    "a PCI device of a VM that does not run": (PciCheckState(id=named("0")), Situation()),
    "a VUSB of a VM that does not run": (VusbCheckState(id=named("1-1")), Situation()),
}


DEPARTURE = VmMigrate(
    vm=VM,
    vdi_map=(),
    vif_map=(),
    pci_map=(),
    url="",
    compress=False,
    verify_dest=False,
    localhost_migration=False,
)
ARRIVAL = VmReceiveMemory(
    vm=arriving_id(VM), final=VM, memory_limit_bytes=256 * MIB, socket="", compressed=False
)


def migration(view: VmView) -> dict[str, Steps]:
    """The parts of a migration, by who performs them."""
    here, there = departing_id(VM), arriving_id(VM)
    arriving = under(there, view.devices)
    return {
        "source: freeze the balloon": migrate.freeze_balloon(view.vm, 200 * MIB, localhost=False),
        "source: freeze the balloon, within one host": migrate.freeze_balloon(
            view.vm, 200 * MIB, localhost=True
        ),
        "source: step aside": migrate.step_aside(VM),
        "source: leave": migrate.leave(VM, under(here, view.devices)),
        "destination: make room": migrate.make_room(ARRIVAL, arriving),
        "destination: await vGPUs": migrate.await_vgpus(arriving),
        "destination: take the name": migrate.take_name(ARRIVAL),
        "destination: take the name that it has": migrate.take_name(ARRIVAL.model_copy(update={"vm": VM})),
        "destination: carry on": migrate.carry_on(VM, view.devices),
        "destination: give up the arrival": migrate.give_up_arrival(there, arriving),
    }


def under(vm: VmId, devices: Devices) -> Devices:
    def renamed(configured: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(each.model_copy(update={"id": DeviceId(vm, each.id.device)}) for each in configured)

    return Devices(
        vbds=renamed(devices.vbds),
        vifs=renamed(devices.vifs),
        pcis=renamed(devices.pcis),
        vgpus=renamed(devices.vgpus),
        vusbs=renamed(devices.vusbs),
    )


def golden_texts() -> dict[str, str]:
    """Each file's content, by its name."""
    bare = SHAPES["pv-without-devices"]
    texts = {
        shape: sections((title, plan(operation, view)) for title, operation in WHOLE_VM_OPERATIONS.items())
        for shape, view in SHAPES.items()
    }
    texts["single-devices"] = sections(
        (title, plan(operation, bare)) for title, operation in SINGLE_DEVICE_OPERATIONS.items()
    )
    texts["checks"] = sections(
        (title, plan(check, replace(bare, situation=situation)))
        for title, (check, situation) in CHECKS.items()
    )
    for shape in ("hvm-with-one-of-each", "hvm-with-passthrough"):
        parts = migration(SHAPES[shape])
        texts[f"migration-of-{shape}"] = sections(
            (title, Serial(title, steps)) for title, steps in parts.items()
        )
    return texts


def sections(plans: Iterable[tuple[str, Serial]]) -> str:
    """Each plan below its title."""
    return "\n".join(f"# {title}\n{render(tree)}" for title, tree in plans)


TEXTS = golden_texts()


@pytest.mark.parametrize("name", TEXTS)
def test_every_plan_is_as_it_was_reviewed(name: str) -> None:
    golden = PLANS / f"{name}.txt"
    if "XENOPS_WRITE_PLANS" in os.environ:
        golden.write_text(TEXTS[name])
    assert TEXTS[name] == golden.read_text()


def test_no_reviewed_plan_is_left_behind() -> None:
    assert {golden.stem for golden in PLANS.glob("*.txt")} == set(TEXTS)


def test_every_operation_has_a_plan_among_them_or_is_a_conversation_of_two_hosts() -> None:
    shown = [*WHOLE_VM_OPERATIONS.values(), *SINGLE_DEVICE_OPERATIONS.values()]
    shown += [check for check, _ in CHECKS.values()]
    union, _ = get_args(Operation)
    assert {type(operation) for operation in shown} | {VmMigrate, VmReceiveMemory} == set(get_args(union))


@pytest.mark.parametrize("operation", [DEPARTURE, ARRIVAL], ids=lambda operation: operation.kind)
def test_what_two_hosts_must_agree_on_is_no_single_plan(operation: Operation) -> None:
    with pytest.raises(XenopsError) as refused:
        plan(operation, SHAPES["pv-without-devices"])
    assert refused.value.error == Unimplemented(what=operation.kind)


def test_the_ids_of_a_migration_differ_in_the_last_part_of_the_uuid() -> None:
    vm = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")
    assert departing_id(vm) == "5a5c9d47-0cd5-4aee-b3a4-000000000000"
    assert arriving_id(vm) == "5a5c9d47-0cd5-4aee-b3a4-000000000001"
