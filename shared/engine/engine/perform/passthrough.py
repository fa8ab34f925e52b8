"""Atomics on devices of the host that are given to a VM: PCI, USB and virtual GPUs."""

from schema.atomics.pci import (
    PassthroughAtomic,
    PciDequarantine,
    PciPlug,
    PciUnplug,
    VgpuSetActive,
    VgpuStart,
    VusbPlug,
    VusbUnplug,
)
from schema.ids import VmId
from schema.objects.dynamic import PciObject, VgpuObject, VusbObject

from engine.backend import Execution
from engine.perform.context import Context


def perform_passthrough(context: Context, atomic: PassthroughAtomic, execution: Execution) -> None:
    """Perform one; errors are the verb's."""
    backend, store = context.backend, context.store
    match atomic:
        case PciPlug(id=pci, use_qmp=use_qmp):
            with context.changing(PciObject, pci) as vm:
                backend.pci.plug(execution, vm, store.pcis.read(pci), use_qmp=use_qmp)
        case PciUnplug(id=pci):
            with context.changing(PciObject, pci) as vm:
                backend.pci.unplug(execution, vm, store.pcis.read(pci))
        case PciDequarantine(address=address):
            backend.pci.dequarantine(address)
        case VusbPlug(id=vusb):
            with context.changing(VusbObject, vusb) as vm:
                backend.vusb.plug(execution, vm, store.vusbs.read(vusb))
        case VusbUnplug(id=vusb):
            with context.changing(VusbObject, vusb) as vm:
                backend.vusb.unplug(execution, vm, store.vusbs.read(vusb))
        case VgpuSetActive(id=vgpu, active=active):
            with context.changing(VgpuObject, vgpu) as vm:
                backend.vgpu.set_active(execution, vm, store.vgpus.read(vgpu), active=active)
        case VgpuStart(ids=ids, saved=saved):
            vgpus = [store.vgpus.read(vgpu) for vgpu in ids]
            backend.vgpu.start(execution, VmId(ids[0].vm), vgpus, saved=saved)
