"""Verbs on a VM's devices: disks, interfaces, and devices of the host that it is given."""

from collections.abc import Sequence
from typing import Protocol

from schema.ids import VmId
from schema.objects.disk import Disk
from schema.objects.network import Network
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vbd import Vbd, VbdState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, LockingMode, PvsProxy, Vif, VifState
from schema.objects.vusb import Vusb, VusbState

from engine.backend.execution import Execution


class PciVerbs(Protocol):
    """Host devices given to a VM."""

    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        """Whether it is plugged."""

    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        """Give it to the domain. Errors: `Already_exists("pci", position)`."""

    def unplug(self, execution: Execution, vm: VmId, pci: Pci) -> None:
        """Take it away; not plugged, nothing to do."""

    def wants_unplug(self, vm: VmId, pci: Pci) -> bool:
        """Whether the device asks to be unplugged."""

    def dequarantine(self, address: PciAddress) -> None:
        """Let the host use it again."""


class VbdVerbs(Protocol):
    """Disks."""

    def set_active(self, execution: Execution, vm: VmId, vbd: Vbd, *, active: bool) -> None:
        """Note that the VM shall have it; asked without a domain, too."""

    def epoch_begin(self, execution: Execution, vm: VmId, disk: Disk, *, persistent: bool) -> None:
        """Begin a life of the disk's content: not persistent, it ends with `epoch_end`."""

    def epoch_end(self, execution: Execution, vm: VmId, disk: Disk) -> None:
        """End it."""

    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Make the disk's backend ready.

        Errors: `Does_not_exist("domain", vm)`, `Already_exists("vbd", position)`.
        """

    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Give an attached disk to the domain."""

    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the domain. Unforced, a guest may refuse: `Device_detach_rejected`."""

    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Let the disk's backend go."""

    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: Disk) -> None:
        """Put a medium in; the one that is in already is opened anew. Errors: `Media_present` for another."""

    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out; an empty drive, nothing to do. Errors: `Media_not_ejectable` for a disk."""

    def set_qos(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Apply its I/O scheduling; not plugged, nothing to do."""

    def get_state(self, vm: VmId, vbd: Vbd) -> VbdState:
        """The disk as it is now."""

    def wants_unplug(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether the device asks to be unplugged."""

    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether its I/O scheduling must be applied anew."""


class VifVerbs(Protocol):
    """Network interfaces. What is set on one that is not plugged has no effect: `plug` brings it all."""

    def set_active(self, execution: Execution, vm: VmId, vif: Vif, *, active: bool) -> None:
        """Note that the VM shall have it."""

    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the domain, connected to `vif.backend`.

        Errors: `Does_not_exist("domain", vm)`, `Already_exists("vif", position)`.
        """

    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away; not plugged, nothing to do."""

    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        """Connect it elsewhere."""

    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        """Plug or pull the cable."""

    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        """Restrict its addresses."""

    def set_ipv4_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv4Configuration
    ) -> None:
        """Configure the guest's IPv4."""

    def set_ipv6_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv6Configuration
    ) -> None:
        """Configure the guest's IPv6."""

    def set_pvs_proxy(self, execution: Execution, vm: VmId, vif: Vif, proxy: PvsProxy | None) -> None:
        """Configure the PVS proxy."""

    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        """Restrict its VLANs."""

    def get_state(self, vm: VmId, vif: Vif) -> VifState:
        """The interface as it is now."""

    def wants_unplug(self, vm: VmId, vif: Vif) -> bool:
        """Whether the device asks to be unplugged."""


class VgpuVerbs(Protocol):
    """Virtual GPUs."""

    def start(self, execution: Execution, vm: VmId, vgpus: Sequence[Vgpu], *, saved: bool) -> None:
        """Start their emulators."""

    def set_active(self, execution: Execution, vm: VmId, vgpu: Vgpu, *, active: bool) -> None:
        """Note that the VM shall have it."""

    def get_state(self, vm: VmId, vgpu: Vgpu) -> VgpuState:
        """The virtual GPU as it is now."""


class VusbVerbs(Protocol):
    """Host USB devices given to a VM."""

    def plug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Give it to the domain. Errors: `Does_not_exist("domain", vm)`."""

    def unplug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Take it away; not plugged, nothing to do."""

    def get_state(self, vm: VmId, vusb: Vusb) -> VusbState:
        """Whether it is plugged."""

    def wants_unplug(self, vm: VmId, vusb: Vusb) -> bool:
        """Whether the device asks to be unplugged."""
