"""Export: a VM with all its devices as metadata, its disks, networks and GPUs as another host knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schema.fault import XenopsError
from schema.ids import DeviceId, VmId
from schema.objects.disk import Disk, Vdi
from schema.objects.errors import DoesNotExist, Unimplemented
from schema.objects.metadata import Metadata
from schema.objects.network import Network
from schema.objects.pci import Pci, PciAddress
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, IndirectBoot, Vm
from schema.operations import VmMigrate

from engine.backend import Backend
from engine.store import Store

_UUID_LETTERS = 36


@dataclass(frozen=True, slots=True)
class Maps:
    """What is called otherwise there: VDIs by name, networks and GPUs by the device that they are given to.

    A GPU's physical function is under the device's name, its virtual function under `vf:` and that name.
    """

    vdis: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    pcis: Mapping[str, PciAddress] = field(default_factory=dict)


def maps_of(operation: VmMigrate) -> Maps:
    """The maps that a client gave."""
    return Maps(dict(operation.vdi_map), dict(operation.vif_map), dict(operation.pci_map))


def export(store: Store, backend: Backend, vm: Vm, maps: Maps) -> Metadata:
    """All that another host must know."""
    devices = store.devices(vm.id)
    vgpus = tuple(_vgpu(vgpu, maps.pcis) for vgpu in devices.vgpus)
    moved = _moved_addresses(devices.vgpus, vgpus)
    return Metadata(
        vm=_vm(vm, maps.vdis),
        vbds=tuple(_vbd(vbd, maps.vdis) for vbd in devices.vbds),
        vifs=tuple(_vif(vif, maps.networks) for vif in devices.vifs),
        pcis=tuple(_pci(pci, moved) for pci in devices.pcis),
        vgpus=vgpus,
        vusbs=devices.vusbs,
        domains=_internal_state(backend, vm, maps),
    )


def _internal_state(backend: Backend, vm: Vm, maps: Maps) -> str | None:
    """What the backend alone knows; None for a VM without a domain of which it knows nothing.

    The original's answer for such a VM is an error.
    """
    try:
        return backend.vm.get_internal_state(tuple(maps.vdis.items()), tuple(maps.networks.items()), vm)
    except XenopsError as error:
        if isinstance(error.error, DoesNotExist | Unimplemented) and not backend.vm.get_state(vm).domids:
            return None
        raise


def under(metadata: Metadata, name: VmId) -> Metadata:
    """The same for a VM of another id. The backend's own words are changed where they name a UUID."""
    known = metadata.vm.id
    domains = metadata.domains
    if domains is not None and len(known) == _UUID_LETTERS:
        domains = domains.replace(known, name)
    kinds = ("vbds", "vifs", "pcis", "vgpus", "vusbs")
    devices = {
        kind: tuple(d.model_copy(update={"id": DeviceId(name, d.id[1])}) for d in getattr(metadata, kind))
        for kind in kinds
    }
    vm = metadata.vm.model_copy(update={"id": name})
    return metadata.model_copy(update={"vm": vm, "domains": domains, **devices})


def _vm(vm: Vm, vdis: Mapping[str, str]) -> Vm:
    """Boot loaders read disks, too."""
    if isinstance(vm.ty, Hvm) or not isinstance(vm.ty.info.boot, IndirectBoot):
        return vm
    boot = vm.ty.info.boot.boot
    there = boot.model_copy(update={"devices": tuple(_disk(disk, vdis) for disk in boot.devices)})
    info = vm.ty.info.model_copy(update={"boot": IndirectBoot(boot=there)})
    return vm.model_copy(update={"ty": vm.ty.model_copy(update={"info": info})})


def _disk(disk: Disk, vdis: Mapping[str, str]) -> Disk:
    return Vdi(name=vdis.get(disk.name, disk.name)) if isinstance(disk, Vdi) else disk


def _vbd(vbd: Vbd, vdis: Mapping[str, str]) -> Vbd:
    return vbd if vbd.backend is None else vbd.model_copy(update={"backend": _disk(vbd.backend, vdis)})


def _vif(vif: Vif, networks: Mapping[str, Network]) -> Vif:
    return vif.model_copy(update={"backend": networks.get(vif.id[1], vif.backend)})


def _vgpu(vgpu: Vgpu, pcis: Mapping[str, PciAddress]) -> Vgpu:
    device = vgpu.id[1]
    addresses = {
        "physical_pci_address": pcis.get(device, vgpu.physical_pci_address),
        "virtual_pci_address": pcis.get(f"vf:{device}", vgpu.virtual_pci_address),
    }
    return vgpu.model_copy(update=addresses)


def _moved_addresses(here: tuple[Vgpu, ...], there: tuple[Vgpu, ...]) -> dict[PciAddress, PciAddress]:
    """Which functions of GPUs are elsewhere: PCI devices that are such functions follow them."""
    moved = {}
    for old, new in zip(here, there, strict=True):
        moved[old.physical_pci_address] = new.physical_pci_address
        if old.virtual_pci_address is not None and new.virtual_pci_address is not None:
            moved[old.virtual_pci_address] = new.virtual_pci_address
    return {old: new for old, new in moved.items() if old != new}


def _pci(pci: Pci, moved: Mapping[PciAddress, PciAddress]) -> Pci:
    address = moved.get(pci.address)
    if address is None:
        return pci
    name = f"{address.domain:04x}:{address.bus:02x}:{address.dev:02x}.{address.fn:x}"
    return pci.model_copy(update={"address": address, "id": DeviceId(pci.id[0], name)})
