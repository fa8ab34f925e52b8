"""Dom0: what backend classic asks of the control domain's kernel: contents, drivers, interfaces."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from engine.hosted import nft, port_rules
from engine.hosted.port_rules import PortRules
from schema.fault import internal_error
from schema.objects.pci import PciAddress
from typing_extensions import override

from worker_xen.classic import bridge, loop, pciback
from worker_xen.libxc.values import HostDevice
from worker_xen.xenstore.devices import BlockDevice

DEVICES = Path("/sys/bus/xen-backend/devices")


class Dom0(Protocol):
    """The control domain. Errors: `Internal_error` that names the file or interface."""

    def opened(self, path: str, *, read_only: bool) -> AbstractContextManager[BlockDevice]:
        """The block device of a disk's file or device, there at least while inside."""

    def check(self, path: str, *, read_only: bool) -> None:
        """See that a disk can be opened."""

    def take_pci(self, address: PciAddress) -> HostDevice:
        """Take a PCI device from its driver for a guest."""

    def describe_pci(self, address: PciAddress) -> HostDevice | None:
        """What a guest needs of a PCI device; None: it is not there any more."""

    def has_device(self, bus_name: str) -> bool:
        """Whether a backend's driver has a device, as `vbd-3-51712`."""

    def has_open(self, bus_name: str) -> bool:
        """Whether a disk's driver has its content open."""

    def has_interface(self, interface: str) -> bool:
        """Whether there is such an interface."""

    def join(self, interface: str, bridge_name: str, mtu: int, *, up: bool) -> None:
        """Make an interface a port of a bridge, of no other, and let it carry, or not."""

    def set_up(self, interface: str, *, up: bool) -> None:
        """Let an interface carry, or not."""

    def restrict(self, rules: PortRules) -> None:
        """Let an interface, which is there, pass what these rules say; they go with it."""


class LinuxDom0(Dom0):
    """A control domain on Linux."""

    @override
    def opened(self, path: str, *, read_only: bool) -> AbstractContextManager[BlockDevice]:
        return loop.opened(path, read_only=read_only)

    @override
    def check(self, path: str, *, read_only: bool) -> None:
        loop.check(path, read_only=read_only)

    @override
    def take_pci(self, address: PciAddress) -> HostDevice:
        return pciback.taken(address)

    @override
    def describe_pci(self, address: PciAddress) -> HostDevice | None:
        try:
            return pciback.described(address)
        except OSError:
            return None

    @override
    def has_device(self, bus_name: str) -> bool:
        return (DEVICES / bus_name).exists()

    @override
    def has_open(self, bus_name: str) -> bool:
        return (DEVICES / bus_name / "physical_device").exists()

    @override
    def has_interface(self, interface: str) -> bool:
        return bridge.exists(interface)

    @override
    def join(self, interface: str, bridge_name: str, mtu: int, *, up: bool) -> None:
        bridge.join(interface, bridge_name, mtu, up=up)

    @override
    def set_up(self, interface: str, *, up: bool) -> None:
        bridge.set_up(interface, up=up)

    @override
    def restrict(self, rules: PortRules) -> None:
        try:
            nft.run_script(port_rules.setting(rules))
        except nft.NftError as error:
            raise internal_error(
                f"What {rules.tap} lets pass cannot be set: {error}; see to nftables in the control domain"
            ) from error
