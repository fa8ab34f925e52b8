"""Devices but VIFs: disks, host devices, virtual GPUs, USB. A device's id names its VM and itself."""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.methods declares; a test holds these annotations against it.

from dataclasses import dataclass

from schema.objects.disk import Disk
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vbd import Vbd, VbdState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vusb import Vusb
from schema.wire.types import DeviceId

from xenops.calls.caller import Caller


@dataclass(frozen=True, slots=True)
class PciCalls:
    """The methods `PCI.*`."""

    call: Caller

    def add(self, pci: Pci) -> DeviceId:
        """Make a device known, or replace what is known of it."""
        return self.call("PCI.add", pci=pci)

    def remove(self, device: DeviceId) -> None:
        """Forget an unplugged device."""
        self.call("PCI.remove", id=device)

    def stat(self, device: DeviceId) -> tuple[Pci, PciState]:
        """A device as configured and as it is."""
        return self.call("PCI.stat", id=device)

    def list(self, vm: str) -> tuple[tuple[Pci, PciState], ...]:
        """A VM's devices of this class."""
        return self.call("PCI.list", id=vm)

    def dequarantine(self, address: PciAddress) -> None:
        """Let the host use a device again that was kept for guests."""
        self.call("PCI.dequarantine", pci_addr=address)


@dataclass(frozen=True, slots=True)
class VbdCalls:
    """The methods `VBD.*`."""

    call: Caller

    def add(self, vbd: Vbd) -> DeviceId:
        """Make a disk known, or replace what is known of it."""
        return self.call("VBD.add", vbd=vbd)

    def remove(self, device: DeviceId) -> None:
        """Forget an unplugged disk."""
        self.call("VBD.remove", id=device)

    def stat(self, device: DeviceId) -> tuple[Vbd, VbdState]:
        """A disk as configured and as it is."""
        return self.call("VBD.stat", id=device)

    def list(self, vm: str) -> tuple[tuple[Vbd, VbdState], ...]:
        """A VM's disks."""
        return self.call("VBD.list", id=vm)

    def plug(self, device: DeviceId) -> str:
        """Give the disk to its running VM."""
        return self.call("VBD.plug", id=device)

    def unplug(self, device: DeviceId, *, force: bool = False) -> str:
        """Take the disk from its VM; the guest may refuse, unless `force`."""
        return self.call("VBD.unplug", id=device, force=force)

    def eject(self, device: DeviceId) -> str:
        """Take the medium out of a CD drive."""
        return self.call("VBD.eject", id=device)

    def insert(self, device: DeviceId, disk: Disk) -> str:
        """Put a medium into an empty CD drive."""
        return self.call("VBD.insert", id=device, disk=disk)


@dataclass(frozen=True, slots=True)
class VgpuCalls:
    """The methods `VGPU.*`."""

    call: Caller

    def add(self, vgpu: Vgpu) -> DeviceId:
        """Make a virtual GPU known, or replace what is known of it."""
        return self.call("VGPU.add", vgpu=vgpu)

    def remove(self, device: DeviceId) -> None:
        """Forget a virtual GPU."""
        self.call("VGPU.remove", id=device)

    def stat(self, device: DeviceId) -> tuple[Vgpu, VgpuState]:
        """A virtual GPU as configured and as it is."""
        return self.call("VGPU.stat", id=device)

    def list(self, vm: str) -> tuple[tuple[Vgpu, VgpuState], ...]:
        """A VM's virtual GPUs."""
        return self.call("VGPU.list", id=vm)


@dataclass(frozen=True, slots=True)
class VusbCalls:
    """The methods `VUSB.*`."""

    call: Caller

    def add(self, vusb: Vusb) -> DeviceId:
        """Make a USB device known, or replace what is known of it."""
        return self.call("VUSB.add", vusb=vusb)

    def remove(self, device: DeviceId) -> None:
        """Forget an unplugged USB device."""
        self.call("VUSB.remove", id=device)

    def stat(self, device: DeviceId) -> tuple[Vusb, PciState]:
        """A USB device as configured and as it is."""
        return self.call("VUSB.stat", id=device)

    def list(self, vm: str) -> tuple[tuple[Vusb, PciState], ...]:
        """A VM's USB devices."""
        return self.call("VUSB.list", id=vm)

    def plug(self, device: DeviceId) -> str:
        """Give the USB device to its running VM."""
        return self.call("VUSB.plug", id=device)

    def unplug(self, device: DeviceId) -> str:
        """Take the USB device from its VM."""
        return self.call("VUSB.unplug", id=device)
