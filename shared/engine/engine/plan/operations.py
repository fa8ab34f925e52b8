"""Operations: which steps each of them takes."""

from schema.fault import unimplemented
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

from engine.check import remedies
from engine.plan.groups import Steps, do
from engine.plan.hotplug import hotplug
from engine.plan.nodes import Serial
from engine.plan.reboot import reboot
from engine.plan.shutdown import poweroff, shutdown
from engine.plan.start import start
from engine.plan.suspend import plug_vifs, restore_devices, resume, suspend
from engine.view import VmView


def plan(operation: Operation, view: VmView) -> Serial:
    """What to do, in order; the top node bears the operation's name.

    Errors: `Unimplemented` for VM_migrate and VM_receive_memory: between their atomics two hosts talk, so
    they are no single plan; their parts are in `engine.plan.migrate`.
    """
    return Serial(operation.kind, _steps(operation, view))


def _steps(operation: Operation, view: VmView) -> Steps:
    devices = view.devices
    match operation:
        case VmStart(vm=vm, force=force):
            return start(vm, devices, force=force)
        case VmPoweroff(vm=vm, timeout_s=timeout_s):
            return poweroff(vm, devices, timeout_s)
        case VmShutdown(vm=vm, timeout_s=timeout_s):
            return shutdown(vm, devices, timeout_s)
        case VmReboot(vm=vm, timeout_s=timeout_s):
            return reboot(vm, devices, timeout_s)
        case VmSuspend(vm=vm, image=image):
            return suspend(vm, devices, image)
        case VmResume(vm=vm, image=image):
            return resume(vm, devices, image)
        case VmRestoreVifs():
            return plug_vifs(devices)
        case VmRestoreDevices(vm=vm, restore_vifs=restore_vifs):
            return restore_devices(vm, devices, restore_vifs=restore_vifs)
        case VmMigrate() | VmReceiveMemory():
            raise unimplemented(operation.kind)
        case VbdHotplug() | VbdHotunplug() | VifHotplug() | VifHotunplug():
            return hotplug(operation)
        case VmCheckState() | PciCheckState() | VbdCheckState() | VifCheckState() | VusbCheckState():
            return tuple(step for remedy in remedies(operation, view) for step in _steps(remedy, view))
        case AtomicOperation(atomic=atomic):
            return do(atomic)
