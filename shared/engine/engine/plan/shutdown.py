"""Shutdown: from a running VM to nothing, with hooks (power-off) or without."""

from collections.abc import Iterable

from schema.atomics.pci import PciUnplug, VgpuSetActive, VusbUnplug
from schema.atomics.vbd import VbdEpochEnd, VbdSetActive, VbdUnplug
from schema.atomics.vif import VifSetActive, VifUnplug
from schema.atomics.vm import (
    ShutdownRequest,
    VmDestroy,
    VmDestroyDeviceModel,
    VmHookScript,
    VmPause,
    VmShutdownDomain,
)
from schema.ids import VmId
from schema.objects.vbd import Vbd

from engine.backend import Devices
from engine.hook_names import HookName, HookReason
from engine.plan.groups import Steps, best_effort, do, parallel, serial


def poweroff(vm: VmId, devices: Devices, timeout_s: float | None) -> Steps:
    """Shutdown with hooks; afterwards no device counts as the VM's."""
    reason = HookReason.HARD_SHUTDOWN if timeout_s is None else HookReason.CLEAN_SHUTDOWN
    return (
        *do(VmHookScript(vm=vm, hook=HookName.PRE_SHUTDOWN, reason=reason)),
        *shutdown(vm, devices, timeout_s),
        *parallel("deactivate devices", _deactivate(devices)),
        *do(VmHookScript(vm=vm, hook=HookName.POST_DESTROY, reason=reason)),
    )


def shutdown(vm: VmId, devices: Devices, timeout_s: float | None) -> Steps:
    """The guest is asked only if it is given time; devices are then taken by force.

    A guest that was not asked still runs: it is paused, where that can be done, so that it does not see its
    device model die. VUSBs leave through the device model, so they go first.
    """
    return (
        *ask_guest(vm, ShutdownRequest.POWER_OFF, timeout_s),
        *parallel("unplug VUSBs", do(*(VusbUnplug(id=vusb.id) for vusb in devices.vusbs))),
        *best_effort(VmPause(vm=vm)),
        *do(VmDestroyDeviceModel(vm=vm)),
        *parallel(
            "unplug devices",
            do(
                *(VbdUnplug(id=vbd.id, force=True) for vbd in devices.vbds),
                *(VifUnplug(id=vif.id, force=True) for vif in devices.vifs),
                *(PciUnplug(id=pci.id) for pci in devices.pcis),
            ),
        ),
        *do(VmDestroy(vm=vm)),
    )


def ask_guest(vm: VmId, request: ShutdownRequest, timeout_s: float | None) -> Steps:
    """Nothing, if there is no time to ask."""
    return () if timeout_s is None else do(VmShutdownDomain(vm=vm, request=request, timeout_s=timeout_s))


def end_epochs(vbds: Iterable[Vbd]) -> Steps:
    """One step for each VBD that has a disk."""
    return do(*(VbdEpochEnd(id=vbd.id, disk=vbd.backend) for vbd in vbds if vbd.backend is not None))


def _deactivate(devices: Devices) -> Steps:
    return (
        *(step for vbd in devices.vbds for step in _deactivate_vbd(vbd)),
        *do(*(VifSetActive(id=vif.id, active=False) for vif in devices.vifs)),
        *do(*(VgpuSetActive(id=vgpu.id, active=False) for vgpu in devices.vgpus)),
    )


def _deactivate_vbd(vbd: Vbd) -> Steps:
    return serial("deactivate VBD", (*end_epochs((vbd,)), *do(VbdSetActive(id=vbd.id, active=False))))
