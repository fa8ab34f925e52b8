"""Dom0: what backend classic asks of the control domain's kernel: contents, drivers, interfaces."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from worker_xen.classic import bridge, loop
from worker_xen.xenstore.devices import BlockDevice

DEVICES = Path("/sys/bus/xen-backend/devices")


class Dom0(Protocol):
    """The control domain. Errors: `Internal_error` that names the file or interface."""

    def opened(self, path: str, *, read_only: bool) -> AbstractContextManager[BlockDevice]:
        """The block device of a disk's file or device, there at least while inside."""

    def check(self, path: str, *, read_only: bool) -> None:
        """See that a disk can be opened."""

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


class LinuxDom0(Dom0):
    """A control domain on Linux."""

    @override
    def opened(self, path: str, *, read_only: bool) -> AbstractContextManager[BlockDevice]:
        return loop.opened(path, read_only=read_only)

    @override
    def check(self, path: str, *, read_only: bool) -> None:
        loop.check(path, read_only=read_only)

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
