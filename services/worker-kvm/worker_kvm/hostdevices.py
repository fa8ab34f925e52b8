"""Host devices: the PCI and USB devices of its host that a domain has, and at which of its ports."""

from typing import Annotated, Generic

from engine.hosted.machine import DiskT, NicT, Value
from engine.hosted.usb import UsbDomain
from pydantic import Field
from schema.ids import DeviceId
from schema.objects.pci import Pci
from typing_extensions import override

from worker_kvm.addresses import Addressed
from worker_kvm.kind import Kind

PORTS = 8
"""Places that each machine has: for interfaces, and for PCI devices and USB's controller."""

MMIO_PORTS = 5
"""The same of a microvm, for interfaces alone: disks, balloon and agent have three of its eight."""

USB_PORTS = 8
"""Of a controller, for each of USB's two generations; xapi allows a VM six devices."""

Port = Annotated[int, Field(ge=0, lt=PORTS)]
"""One of them: an interface's is that of its position, all else has what is free, from the last on."""


class HeldPci(Value):
    """A PCI device that the domain has, or is about to have."""

    pci: Pci
    port: Port
    group: int
    """Its IOMMU group."""

    @property
    def id(self) -> DeviceId:
        """The PCI device's, as configured."""
        return self.pci.id

    @property
    def device(self) -> str:
        """The device's id in QEMU."""
        return f"pci{self.port}"

    @property
    def alias(self) -> str:
        """The device's name for libvirt."""
        return f"ua-{self.device}"


class TakenPci(Value):
    """A device that the host let go of, and the driver that had it."""

    name: str
    driver: str | None


class TakenGroup(Value):
    """An IOMMU group that the host let go of for a domain: what is owed to it when the last device goes."""

    number: int
    devices: tuple[TakenPci, ...] = ()
    owner: tuple[int, int] | None = None
    """Whose its file was, uid and gid; None: it was not handed over."""


class HostingDomain(UsbDomain[DiskT, NicT], Generic[DiskT, NicT]):
    """A domain that may have devices of its host."""

    domid: int
    kind: Kind = Kind.Q35
    """Of its machine; workers before made no other."""
    own_pcis: tuple[str, ...] = ()
    """The PCI devices that its VM was configured with when it was created, as `0000:01:00.0`."""
    pcis: tuple[HeldPci, ...] = ()
    groups: tuple[TakenGroup, ...] = ()
    """What the host let go of, until it has it again."""
    usb_port: Port | None = None
    """Which one USB's controller has; None: the machine has none yet, or has it beside them."""
    clock_base_s: int = 0
    """How far from UTC the clock of its QEMU began."""
    clock_s: int = 0
    """How far its guest has set it since."""
    addressed: tuple[Addressed, ...] = ()
    """What its guest's agent has given its interfaces since the guest booted."""

    @property
    @override
    def owner(self) -> str:
        """Its number."""
        return str(self.domid)

    def places(self) -> set[int]:
        """The ports that interfaces have."""
        return {nic.vif.position for nic in self.nics}
