"""PCI devices of the host, given to a VM."""

from schema.wire.types import DeviceId, Struct


class PciAddress(Struct, wire="address"):
    """`Pci.address`."""

    domain: int
    bus: int
    dev: int
    fn: int


class Pci(Struct, wire="t"):
    """`Pci.t`."""

    id: DeviceId
    position: int
    address: PciAddress
    msitranslate: bool | None = None
    power_mgmt: bool | None = None


class PciState(Struct, wire="state"):
    """`Pci.state`."""

    plugged: bool
