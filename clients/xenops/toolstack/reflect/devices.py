"""Devices: what xenops says of a VM's, as fields of XenAPI's records.

Facts from xapi, xapi_xenops.ml (update_vbd, update_vif, update_pci, update_vgpu, update_vusb). A VIF's MTU,
which xapi reads from the host's interface, stays as it is: the host is not ours to ask.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schema.objects.disk import BusType, Vdi
from schema.objects.pci import PciState
from schema.objects.vbd import VbdState
from schema.objects.vgpu import VgpuState
from schema.objects.vif import VifState

from xenops.toolstack.convert.device_number import of_linux_device
from xenops.toolstack.convert.disk import vdi_of_disk
from xenops.toolstack.convert.passthrough import pusb_of, vusb_name
from xenops.toolstack.convert.source import Source
from xenops.toolstack.records import (
    NULL,
    PciRecord,
    PvsProxyRecord,
    VbdRecord,
    VgpuRecord,
    VgpuTypeRecord,
    VifRecord,
    VmRecord,
    VusbRecord,
    is_null,
)
from xenops.toolstack.reflect.changes import Change, Update


@dataclass(frozen=True, slots=True)
class DeviceNews:
    """Records to change; `forget`: the device is neither plugged nor to be, and xenops may forget it."""

    changes: tuple[Change, ...] = ()
    forget: bool = False


def find_vbd(source: Source, vm: VmRecord, device: str) -> str | None:
    """The reference of the VBD that xenops calls `device`: by its position's name, or by its number."""
    number = of_linux_device(device)
    disk = str(number[1]) if number and number[0] in {BusType.IDE, BusType.XEN} else None
    for ref in vm.vbds:
        vbd = source.known(VbdRecord, ref)
        if vbd and vbd.userdevice in {device, disk}:
            return ref
    return None


def vbd_news(source: Source, vm: VmRecord, device: str, now: VbdState) -> DeviceNews:
    """What has changed in a VBD; which VDI it has is believed only while it is plugged."""
    ref = find_vbd(source, vm, device)
    if ref is None:
        return DeviceNews()
    attached = now.plugged or now.active
    fields: dict[str, Any] = {"device": device, "currently_attached": attached}
    if now.plugged:
        fields |= _content(source, source.get(VbdRecord, ref), now)
    return DeviceNews((Update(VbdRecord.klass, ref, fields),), forget=not attached)


def _content(source: Source, vbd: VbdRecord, now: VbdState) -> Mapping[str, Any]:
    match now.backend_present:
        case Vdi(name=name):
            vdi = vdi_of_disk(source, name)
            return {"VDI": vdi, "empty": False} if vdi else {}
        case None if vbd.type == "CD":
            return {"VDI": NULL, "empty": True}
        case _:
            return {}


def find_vif(source: Source, vm: VmRecord, device: str) -> str | None:
    """The reference of the VIF that xenops calls `device`."""
    vifs = ((ref, source.known(VifRecord, ref)) for ref in vm.vifs)
    return next((ref for ref, vif in vifs if vif and vif.device == device), None)


def vif_news(source: Source, vm: VmRecord, device: str, now: VifState) -> DeviceNews:
    """What has changed in a VIF, and in the proxy that streams through it."""
    ref = find_vif(source, vm, device)
    if ref is None:
        return DeviceNews()
    attached = now.plugged or now.active
    proxies = (
        Update(PvsProxyRecord.klass, proxy, {"currently_attached": now.pvs_rules_active})
        for proxy in source.database.refs(PvsProxyRecord.klass)
        if source.get(PvsProxyRecord, proxy).vif == ref
    )
    change = Update(VifRecord.klass, ref, {"currently_attached": attached})
    return DeviceNews((change, *proxies), forget=not attached)


def pci_news(source: Source, vm_ref: str, device: str, now: PciState) -> DeviceNews:
    """What has changed in a PCI device, and in the GPU that it is."""
    pcis = ((ref, source.get(PciRecord, ref)) for ref in source.database.refs(PciRecord.klass))
    found = next(((ref, pci) for ref, pci in pcis if pci.pci_id == device), None)
    if found is None:
        return DeviceNews()
    ref, pci = found
    others = [other for other in pci.attached_vms if other != vm_ref]
    fields: dict[str, Any] = {"attached_VMs": [*others, vm_ref] if now.plugged else others}
    if now.plugged:
        fields["scheduled_to_be_attached_to"] = NULL
    vm = source.get(VmRecord, vm_ref)
    attached = [other for other in vm.attached_pcis if other != ref]
    changes = [
        Update(PciRecord.klass, ref, fields),
        Update(VmRecord.klass, vm_ref, {"attached_PCIs": [*attached, ref] if now.plugged else attached}),
    ]
    vgpus = ((vgpu_ref, source.get(VgpuRecord, vgpu_ref)) for vgpu_ref in vm.vgpus)
    gpus = (
        _vgpu(vgpu_ref, vgpu, plugged=now.plugged, attached=now.plugged)
        for vgpu_ref, vgpu in vgpus
        if vgpu.pci == ref
    )
    return DeviceNews((*changes, *gpus))


def vgpu_news(source: Source, vm: VmRecord, device: str, now: VgpuState) -> DeviceNews:
    """What has changed in a virtual GPU; one that is passed through whole is a PCI device instead."""
    for ref in vm.vgpus:
        vgpu = source.get(VgpuRecord, ref)
        if vgpu.device == device and source.get(VgpuTypeRecord, vgpu.type).implementation != "passthrough":
            attached = now.plugged or now.active
            change = _vgpu(ref, vgpu, plugged=now.plugged, attached=attached)
            return DeviceNews((change,), forget=not attached)
    return DeviceNews()


def _vgpu(ref: str, vgpu: VgpuRecord, *, plugged: bool, attached: bool) -> Update:
    fields: dict[str, Any] = {"currently_attached": attached}
    if plugged and not is_null(vgpu.scheduled_to_be_resident_on):
        fields |= {"resident_on": vgpu.scheduled_to_be_resident_on, "scheduled_to_be_resident_on": NULL}
    return Update(VgpuRecord.klass, ref, fields)


def vusb_news(source: Source, vm: VmRecord, device: str, now: PciState) -> DeviceNews:
    """What has changed in a USB device."""
    return DeviceNews(tuple(_vusb(source, vm, device, now)))


def _vusb(source: Source, vm: VmRecord, device: str, now: PciState) -> Iterator[Change]:
    for ref in vm.vusbs:
        vusb = source.get(VusbRecord, ref)
        if vusb_name(pusb_of(source, vusb)) == device:
            yield Update(VusbRecord.klass, ref, {"currently_attached": now.plugged})
