"""Objects: what clients are told of, of one VM."""

from collections.abc import Iterator

from schema.ids import VmId
from schema.objects.dynamic import (
    ObjectId,
    PciObject,
    VbdObject,
    VgpuObject,
    VifObject,
    VmObject,
    VusbObject,
)

from engine.store.port import Store


def objects_of(vm: VmId, store: Store) -> Iterator[ObjectId]:
    """A VM and all its devices: what clients are told of where nobody knows what they were told before.

    Raises:
        XenopsError: the store cannot say.
    """
    if not store.exists(vm):
        return
    devices = store.devices(vm)
    yield from (VbdObject(id=vbd.id) for vbd in devices.vbds)
    yield from (VifObject(id=vif.id) for vif in devices.vifs)
    yield from (PciObject(id=pci.id) for pci in devices.pcis)
    yield from (VgpuObject(id=vgpu.id) for vgpu in devices.vgpus)
    yield from (VusbObject(id=vusb.id) for vusb in devices.vusbs)
    yield VmObject(id=vm)
