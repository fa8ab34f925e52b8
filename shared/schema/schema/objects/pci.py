"""PCI devices of the host, given to a VM."""

from schema.wire.types import DeviceId, Struct


class PciAddress(Struct, wire="address"):
    """Where a PCI device is: domain, bus, device, function."""

    domain: int
    bus: int
    dev: int
    fn: int


class Pci(Struct, wire="t"):
    """A PCI device of the host that a VM is given: the original's `Pci.t`.

    `position` orders a VM's devices. Where `msitranslate` or `power_mgmt` is None, the VM's own setting
    counts (`pci_msitranslate`, `pci_power_mgmt`).
    """

    id: DeviceId
    position: int
    address: PciAddress
    msitranslate: bool | None = None
    power_mgmt: bool | None = None


class PciState(Struct, wire="state"):
    """Whether the VM has it."""

    plugged: bool
