"""A VM's metadata as a whole: taken from another host or a toolstack, and forgotten."""

from collections.abc import Iterable
from typing import Any

from schema.fault import XenopsError
from schema.ids import DeviceId, VmId
from schema.objects.dynamic import VmObject
from schema.objects.errors import BadPowerState, DeviceIsConnected
from schema.objects.metadata import Metadata
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import PowerState, Pv, Vm

from engine.mac import with_mac
from engine.perform.context import Context

_LIVE = (PowerState.RUNNING, PowerState.PAUSED)


def remove_vm(context: Context, id_: VmId) -> None:
    """Forget a VM. Errors: `Bad_power_state` while it lives."""
    vm = context.vm(id_)
    found = context.backend.vm.get_state(vm).power_state
    if found in _LIVE:
        raise XenopsError(BadPowerState(found=found, expected=PowerState.HALTED))
    context.backend.vm.remove(vm)
    context.store.remove(id_)


def import_vm(context: Context, id_: VmId, metadata: Metadata) -> None:
    """Store a VM and its devices in place of what was stored under that id.

    A VM that runs has the new ones from its next start on; so a device that is plugged cannot be left out.

    Errors: `Device_is_connected`, before anything has changed.
    """
    vm = metadata.vm.model_copy(update={"id": id_, "platformdata": _with_features(context, metadata.vm)})
    kinds: tuple[tuple[Any, Any, Iterable[Any]], ...] = (
        (context.store.vbds, context.backend.vbd, _with_today_s_names(metadata.vbds)),
        (context.store.vifs, context.backend.vif, metadata.vifs),
        (context.store.pcis, context.backend.pci, metadata.pcis),
        (context.store.vgpus, context.backend.vgpu, metadata.vgpus),
        (context.store.vusbs, context.backend.vusb, metadata.vusbs),
    )
    left_out = [_left_out(table, verbs, id_, devices) for table, verbs, devices in kinds]
    context.store.write(vm)
    for (table, _, devices), gone in zip(kinds, left_out, strict=True):
        for device_id in gone:
            table.remove(device_id)
        for device in devices:
            renamed = device.model_copy(update={"id": device.id._replace(vm=id_)})
            table.write(with_mac(renamed) if isinstance(renamed, Vif) else renamed)
    context.backend.vm.add(vm)
    if metadata.domains is not None:
        context.backend.vm.set_internal_state(vm, metadata.domains)
    context.signal(VmObject(id=id_))


def _left_out(table: Any, verbs: Any, vm: VmId, devices: Iterable[Any]) -> list[DeviceId]:
    """The stored devices of a kind that are not among these. Errors: `Device_is_connected`."""
    named = {device.id.device for device in devices}
    gone = [device for device in table.list(vm) if device.id.device not in named]
    for device in gone:
        if verbs.get_state(vm, device).plugged:
            raise XenopsError(DeviceIsConnected())
    return [device.id for device in gone]


def _with_today_s_names(vbds: tuple[Vbd, ...]) -> list[Vbd]:
    """Guests from long ago have disks that Linux called `hda`; that is `xvda` now, as in the original."""
    return [
        vbd.model_copy(update={"id": vbd.id._replace(device=f"xvd{vbd.id.device[2:]}")})
        if vbd.id.device.startswith("hd")
        else vbd
        for vbd in vbds
    ]


def _with_features(context: Context, vm: Vm) -> tuple[tuple[str, str], ...]:
    """A VM that does not say which CPU features it may use gets all of this host; as in the original."""
    if any(key == "featureset" for key, _ in vm.platformdata):
        return vm.platformdata
    cpu = context.backend.host.stat().cpu_info
    features = cpu.features_pv if isinstance(vm.ty, Pv) else cpu.features_hvm
    return (("featureset", features), *vm.platformdata)
