"""Devices but VIFs: disks, host devices, virtual GPUs, USB. A device's id names its VM and itself.

Made of `xenops/calls/devices.py` by `make async-client`: change that one.
"""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.methods declares; a test holds these annotations against it.

from dataclasses import dataclass

from schema.objects.disk import Disk
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vbd import Vbd, VbdState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vusb import Vusb
from schema.wire.types import DeviceId

from xenops.aio.caller import AsyncCaller


@dataclass(frozen=True, slots=True)
class AsyncPciCalls:
    """The methods `PCI.*`."""

    call: AsyncCaller

    async def add(self, pci: Pci) -> DeviceId:
        """Make a device known, or replace what is known of it."""
        return await self.call("PCI.add", pci=pci)

    async def remove(self, device: DeviceId) -> None:
        """Forget an unplugged device."""
        await self.call("PCI.remove", id=device)

    async def stat(self, device: DeviceId) -> tuple[Pci, PciState]:
        """A device as configured and as it is."""
        return await self.call("PCI.stat", id=device)

    async def list(self, vm: str) -> tuple[tuple[Pci, PciState], ...]:
        """A VM's devices of this class."""
        return await self.call("PCI.list", id=vm)

    async def dequarantine(self, address: PciAddress) -> None:
        """Let the host use a device again that was kept for guests."""
        await self.call("PCI.dequarantine", pci_addr=address)


@dataclass(frozen=True, slots=True)
class AsyncVbdCalls:
    """The methods `VBD.*`."""

    call: AsyncCaller

    async def add(self, vbd: Vbd) -> DeviceId:
        """Make a disk known, or replace what is known of it."""
        return await self.call("VBD.add", vbd=vbd)

    async def remove(self, device: DeviceId) -> None:
        """Forget an unplugged disk."""
        await self.call("VBD.remove", id=device)

    async def stat(self, device: DeviceId) -> tuple[Vbd, VbdState]:
        """A disk as configured and as it is."""
        return await self.call("VBD.stat", id=device)

    async def list(self, vm: str) -> tuple[tuple[Vbd, VbdState], ...]:
        """A VM's disks."""
        return await self.call("VBD.list", id=vm)

    async def plug(self, device: DeviceId) -> str:
        """Give the disk to its running VM."""
        return await self.call("VBD.plug", id=device)

    async def unplug(self, device: DeviceId, *, force: bool = False) -> str:
        """Take the disk from its VM; the guest may refuse, unless `force`."""
        return await self.call("VBD.unplug", id=device, force=force)

    async def eject(self, device: DeviceId) -> str:
        """Take the medium out of a CD drive."""
        return await self.call("VBD.eject", id=device)

    async def insert(self, device: DeviceId, disk: Disk) -> str:
        """Put a medium into an empty CD drive."""
        return await self.call("VBD.insert", id=device, disk=disk)


@dataclass(frozen=True, slots=True)
class AsyncVgpuCalls:
    """The methods `VGPU.*`."""

    call: AsyncCaller

    async def add(self, vgpu: Vgpu) -> DeviceId:
        """Make a virtual GPU known, or replace what is known of it."""
        return await self.call("VGPU.add", vgpu=vgpu)

    async def remove(self, device: DeviceId) -> None:
        """Forget a virtual GPU."""
        await self.call("VGPU.remove", id=device)

    async def stat(self, device: DeviceId) -> tuple[Vgpu, VgpuState]:
        """A virtual GPU as configured and as it is."""
        return await self.call("VGPU.stat", id=device)

    async def list(self, vm: str) -> tuple[tuple[Vgpu, VgpuState], ...]:
        """A VM's virtual GPUs."""
        return await self.call("VGPU.list", id=vm)


@dataclass(frozen=True, slots=True)
class AsyncVusbCalls:
    """The methods `VUSB.*`."""

    call: AsyncCaller

    async def add(self, vusb: Vusb) -> DeviceId:
        """Make a USB device known, or replace what is known of it."""
        return await self.call("VUSB.add", vusb=vusb)

    async def remove(self, device: DeviceId) -> None:
        """Forget an unplugged USB device."""
        await self.call("VUSB.remove", id=device)

    async def stat(self, device: DeviceId) -> tuple[Vusb, PciState]:
        """A USB device as configured and as it is."""
        return await self.call("VUSB.stat", id=device)

    async def list(self, vm: str) -> tuple[tuple[Vusb, PciState], ...]:
        """A VM's USB devices."""
        return await self.call("VUSB.list", id=vm)

    async def plug(self, device: DeviceId) -> str:
        """Give the USB device to its running VM."""
        return await self.call("VUSB.plug", id=device)

    async def unplug(self, device: DeviceId) -> str:
        """Take the USB device from its VM."""
        return await self.call("VUSB.unplug", id=device)
