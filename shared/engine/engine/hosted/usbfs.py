"""Usbfs: the host's USB devices by sysfs: found by their ports, given to guests, and given back."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from schema.fault import internal_error
from schema.objects.vusb import Vusb

from engine.hosted.sysfs import SYSFS, Write
from engine.hosted.usb import name_of

_HUB = "09"
"""The class of hubs, as `bDeviceClass` has it."""

_PROGRAMS = "usbfs"
"""What the kernel calls the driver of an interface that a program has."""


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """A device that is there: its name in sysfs, as `1-2`, and its file."""

    name: str
    node: Path

    @property
    def number(self) -> int:
        """Of the device on its bus; one that is put back has another."""
        return int(self.node.name)


class Usbfs:
    """A host's USB devices, below its `sysfs` and `devices` directories."""

    def __init__(
        self, sysfs: Path = SYSFS, devices: Path = Path("/dev/bus/usb"), write: Write = Path.write_text
    ) -> None:
        self._usb = sysfs / "bus" / "usb"
        self._nodes = devices
        self._write = write

    def find(self, vusb: Vusb) -> UsbDevice:
        """The device that is plugged in where a VUSB says, and that a guest may have.

        Errors: `Internal_error`: there is none, it is a hub, or a program has it.
        """
        name = name_of(vusb)
        try:
            node = self._node(name)
            kind = (self._usb / "devices" / name / "bDeviceClass").read_text().strip()
        except FileNotFoundError as error:
            raise internal_error(
                f"This host has no USB device at bus {vusb.hostbus}, port {vusb.hostport}: plug it in, or "
                "correct the place, as lsusb -t shows it"
            ) from error
        if kind == _HUB:
            raise internal_error(f"USB device {name} is a hub: give the VM what is behind it")
        if any(_driver(interface) == _PROGRAMS for interface in self._interfaces(name)):
            raise internal_error(
                f"USB device {name} is in use by a program of this host, or by a VM of another's: end that"
            )
        return UsbDevice(name, node)

    def is_there(self, vusb: Vusb, node: str) -> bool:
        """Whether the device whose file that was is still plugged in."""
        try:
            return str(self._node(name_of(vusb))) == node
        except FileNotFoundError:
            return False

    def open(self, device: UsbDevice) -> int:
        """Open a device for a guest; the caller closes it. Errors: `Internal_error`."""
        try:
            return os.open(device.node, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise internal_error(
                f"USB device {device.name} cannot be opened: {device.node}: {error.strerror}; the worker "
                "must be root"
            ) from error

    def give_back(self, name: str) -> None:
        """Let the host's drivers have a device that a guest had: QEMU does so, unless it was killed.

        It is gone, or has its drivers: nothing to do.
        """
        for interface in self._interfaces(name):
            if _driver(interface) is None:
                with suppress(OSError):  # no driver wants it, or it has just gone
                    self._write(self._usb / "drivers_probe", interface.name)

    def _node(self, name: str) -> Path:
        """The file of what is plugged in there. Errors: `FileNotFoundError`, nothing is."""
        device = self._usb / "devices" / name
        bus, number = (int((device / file).read_text()) for file in ("busnum", "devnum"))
        return self._nodes / f"{bus:03}" / f"{number:03}"

    def _interfaces(self, name: str) -> Iterator[Path]:
        return (self._usb / "devices").glob(f"{name}:*")


def _driver(interface: Path) -> str | None:
    driver = interface / "driver"
    return driver.resolve().name if driver.exists() else None
