"""Host devices: the PCI and USB devices of its host that a domain has, and at which of its ports."""

from typing import Annotated

from engine.hosted.machine import Value
from pydantic import Field
from schema.ids import DeviceId
from schema.objects.pci import Pci
from schema.objects.vusb import Vusb

PORTS = 8
"""Root ports that each machine is given: for interfaces, and for PCI devices and USB's controller."""

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


class HeldUsb(Value):
    """A USB device that the domain has, or is about to have."""

    vusb: Vusb
    number: int
    """Counted by the domain: another device than before has another name."""

    @property
    def id(self) -> DeviceId:
        """The VUSB's."""
        return self.vusb.id

    @property
    def device(self) -> str:
        """The device's id in QEMU."""
        return f"usb{self.number}"
