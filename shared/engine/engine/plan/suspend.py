"""Suspend and resume: through an image on a disk."""

from schema.atomics.pci import VgpuStart
from schema.atomics.vm import (
    VmCreate,
    VmCreateDeviceModel,
    VmHookScript,
    VmRestore,
    VmSave,
    VmSetDomainActionRequest,
)
from schema.ids import VmId
from schema.objects.disk import Disk

from engine.backend import Devices
from engine.hook_names import HookName, HookReason
from engine.plan import order, plug
from engine.plan.groups import Steps, do, parallel
from engine.plan.shutdown import shutdown


def suspend(vm: VmId, devices: Devices, image: Disk) -> Steps:
    """The disks' epochs go on while the VM is suspended, and its devices stay active."""
    return (
        *do(
            VmHookScript(vm=vm, hook=HookName.PRE_SUSPEND, reason=HookReason.SUSPEND),
            VmSave(vm=vm, live=False, image=image),
            VmHookScript(vm=vm, hook=HookName.PRE_SHUTDOWN, reason=HookReason.SUSPEND),
        ),
        *shutdown(vm, devices, None),
        *do(VmHookScript(vm=vm, hook=HookName.POST_DESTROY, reason=HookReason.SUSPEND)),
    )


def resume(vm: VmId, devices: Devices, image: Disk) -> Steps:
    """The VM is left paused. VUSBs are not plugged, as in the original: the image knows of none."""
    return (
        *plug.dequarantine(devices.vgpus),
        *do(
            VmCreate(vm=vm, no_sharept=order.needs_own_page_tables(devices.vgpus)),
            VmHookScript(vm=vm, hook=HookName.PRE_RESUME, reason=HookReason.NONE),
        ),
        *start_vgpus(devices),
        *do(VmRestore(vm=vm, image=image)),
        *restore_devices(vm, devices, restore_vifs=True),
        *do(
            VmSetDomainActionRequest(vm=vm, action=None),
            VmHookScript(vm=vm, hook=HookName.POST_RESUME, reason=HookReason.NONE),
        ),
    )


def start_vgpus(devices: Devices) -> Steps:
    """Emulators that wait for a saved state, with the SR-IOV functions that they stand on."""
    if not devices.vgpus:
        return ()
    ids = tuple(vgpu.id for vgpu in devices.vgpus)
    return (*plug.plug_sriov_pcis(devices), *do(VgpuStart(ids=ids, saved=True)))


def restore_devices(vm: VmId, devices: Devices, *, restore_vifs: bool) -> Steps:
    """All but the SR-IOV functions, which `start_vgpus` has plugged."""
    return (
        *plug.plug_vbds(devices.vbds, begin_epochs=False),
        *(plug_vifs(devices) if restore_vifs else ()),
        *plug.activate_vgpus(devices.vgpus),
        *do(VmCreateDeviceModel(vm=vm, save_state=True)),
        *plug.plug_guest_pcis(devices),
    )


def plug_vifs(devices: Devices) -> Steps:
    """All at once."""
    return parallel("plug VIFs", plug.plug_vifs(devices.vifs))
