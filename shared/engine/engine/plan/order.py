"""Order: which devices come first, and which of them belong together."""

from collections.abc import Iterable
from typing import NamedTuple

from schema.objects.pci import Pci, PciAddress
from schema.objects.vbd import Vbd, VbdMode
from schema.objects.vgpu import GvtGVgpu, NvidiaVgpu, Vgpu
from schema.objects.vif import Vif

from engine.backend import Devices


class VbdSets(NamedTuple):
    """VBDs in the order to plug them: storage cannot turn a read-only attachment into a read-write one."""

    read_write: tuple[Vbd, ...]
    read_only: tuple[Vbd, ...]


def by_mode(vbds: Iterable[Vbd]) -> VbdSets:
    """The read-write ones apart from the read-only ones."""
    every = tuple(vbds)
    return VbdSets(
        read_write=tuple(vbd for vbd in every if vbd.mode is VbdMode.READ_WRITE),
        read_only=tuple(vbd for vbd in every if vbd.mode is VbdMode.READ_ONLY),
    )


def by_position(vifs: Iterable[Vif]) -> tuple[Vif, ...]:
    """Network interfaces as the guest shall count them."""
    return tuple(sorted(vifs, key=lambda vif: vif.position))


def pcis_of_vgpus(devices: Devices) -> tuple[Pci, ...]:
    """The SR-IOV functions behind the vGPUs, by position: plugged before there is a device model."""
    addresses = _sriov_addresses(devices.vgpus)
    return tuple(pci for pci in _sorted(devices.pcis) if pci.address in addresses)


def pcis_for_guest(devices: Devices) -> tuple[Pci, ...]:
    """All other PCI devices, by position: the guest counts them in the order in which they are plugged."""
    addresses = _sriov_addresses(devices.vgpus)
    return tuple(pci for pci in _sorted(devices.pcis) if pci.address not in addresses)


def needs_own_page_tables(vgpus: Iterable[Vgpu]) -> bool:
    """Whether the domain must not share its page tables with the IOMMU (`no_sharept`)."""
    return bool(_sriov_addresses(vgpus))


def quarantined(vgpus: Iterable[Vgpu]) -> tuple[Vgpu, ...]:
    """Those whose hardware the hypervisor keeps aside until it is asked for."""
    return tuple(vgpu for vgpu in vgpus if isinstance(vgpu.implementation, GvtGVgpu | NvidiaVgpu))


def _sorted(pcis: Iterable[Pci]) -> list[Pci]:
    return sorted(pcis, key=lambda pci: pci.position)


def _sriov_addresses(vgpus: Iterable[Vgpu]) -> tuple[PciAddress, ...]:
    """Where the functions are of which an Nvidia vGPU consists; one without such an address has none."""
    return tuple(
        vgpu.virtual_pci_address
        for vgpu in vgpus
        if isinstance(vgpu.implementation, NvidiaVgpu) and vgpu.virtual_pci_address is not None
    )
