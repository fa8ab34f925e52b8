"""Plug: the steps that give a domain its devices, shared by start, resume and migration."""

from collections.abc import Iterable

from schema.atomics.pci import PciDequarantine, PciPlug, VgpuSetActive, VusbPlug
from schema.atomics.vbd import VbdEpochBegin, VbdPlug, VbdSetActive
from schema.atomics.vif import VifPlug, VifSetActive
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vusb import Vusb

from engine.backend import Devices
from engine.plan import order
from engine.plan.groups import Steps, do, parallel
from engine.plan.nodes import Plan, Serial


def plug_vbds(vbds: Iterable[Vbd], *, begin_epochs: bool) -> Steps:
    """All that are read-write, then all that are read-only; a resumed VM's are in their epoch already."""
    sets = order.by_mode(vbds)
    return (
        *parallel(
            "plug read-write VBDs", (_plug_vbd(vbd, begin_epoch=begin_epochs) for vbd in sets.read_write)
        ),
        *parallel(
            "plug read-only VBDs", (_plug_vbd(vbd, begin_epoch=begin_epochs) for vbd in sets.read_only)
        ),
    )


def plug_vifs(vifs: Iterable[Vif]) -> Steps:
    """One step for each, by position."""
    return tuple(_plug_vif(vif) for vif in order.by_position(vifs))


def plug_sriov_pcis(devices: Devices) -> Steps:
    """One step for each SR-IOV function behind a vGPU."""
    return do(*(PciPlug(id=pci.id, use_qmp=False) for pci in order.pcis_of_vgpus(devices)))


def plug_guest_pcis(devices: Devices) -> Steps:
    """One step for each PCI device that the guest gets through its device model."""
    return do(*(PciPlug(id=pci.id, use_qmp=True) for pci in order.pcis_for_guest(devices)))


def plug_vusbs(vusbs: Iterable[Vusb]) -> Steps:
    """One step for each."""
    return do(*(VusbPlug(id=vusb.id) for vusb in vusbs))


def activate_vgpus(vgpus: Iterable[Vgpu]) -> Steps:
    """All at once."""
    return parallel("activate VGPUs", do(*(VgpuSetActive(id=vgpu.id, active=True) for vgpu in vgpus)))


def dequarantine(vgpus: Iterable[Vgpu]) -> Steps:
    """Free the physical GPUs, one by one."""
    return do(*(PciDequarantine(address=vgpu.physical_pci_address) for vgpu in order.quarantined(vgpus)))


def _plug_vbd(vbd: Vbd, *, begin_epoch: bool) -> Plan:
    disk = vbd.backend if begin_epoch else None
    begin = () if disk is None else (VbdEpochBegin(id=vbd.id, disk=disk, persistent=vbd.persistent),)
    return Serial("plug VBD", do(VbdSetActive(id=vbd.id, active=True), *begin, VbdPlug(id=vbd.id)))


def _plug_vif(vif: Vif) -> Plan:
    return Serial("plug VIF", do(VifSetActive(id=vif.id, active=True), VifPlug(id=vif.id)))
