"""Start: from nothing to a paused VM with all its devices."""

from schema.atomics.vm import VmBuild, VmCreate, VmCreateDeviceModel, VmHookScript, VmSetDomainActionRequest
from schema.ids import VmId

from engine.backend import Devices
from engine.hook_names import HookName, HookReason
from engine.plan import order, plug
from engine.plan.groups import Steps, do, parallel, serial


def start(vm: VmId, devices: Devices, *, force: bool) -> Steps:
    """Until its last step the domain says what becomes of it should nobody go on: on real hosts its end.

    PCI devices and VUSBs reach the guest through its device model, so they come after it.
    """
    return (
        *plug.dequarantine(devices.vgpus),
        *do(
            VmHookScript(vm=vm, hook=HookName.PRE_START, reason=HookReason.NONE),
            VmCreate(vm=vm, no_sharept=order.needs_own_page_tables(devices.vgpus)),
            VmBuild(vm=vm, force=force),
        ),
        *parallel(
            "plug devices",
            (
                *serial("plug VBDs", plug.plug_vbds(devices.vbds, begin_epochs=True)),
                *plug.plug_vifs(devices.vifs),
                *serial("prepare VGPUs", _prepare_vgpus(devices)),
            ),
        ),
        *do(VmCreateDeviceModel(vm=vm, save_state=False)),
        *plug.plug_guest_pcis(devices),
        *plug.plug_vusbs(devices.vusbs),
        *do(VmSetDomainActionRequest(vm=vm, action=None)),
    )


def _prepare_vgpus(devices: Devices) -> Steps:
    return (
        *plug.activate_vgpus(devices.vgpus),
        *parallel("plug SR-IOV PCIs", plug.plug_sriov_pcis(devices)),
    )
