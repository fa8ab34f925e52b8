"""Pciback: the control domain's driver of PCI devices that guests get, by sysfs."""

from contextlib import suppress
from pathlib import Path

from schema.fault import internal_error
from schema.objects.pci import PciAddress

from worker_xen.libxc.values import HostDevice

BUS = Path("/sys/bus/pci")
DRIVER = "pciback"

_PORTS, _MEMORY = 0x100, 0x200
"""What a line of a device's file `resource` is of, as Linux' `ioport.h` numbers it."""

_PAGE_SHIFT = 12


def name_of(address: PciAddress) -> str:
    """A device's name, as `0000:00:04.0`."""
    return f"{address.domain:04x}:{address.bus:02x}:{address.dev:02x}.{address.fn:x}"


def number_of(address: PciAddress) -> int:
    """A device's number for the hypervisor: segment, bus, slot, function."""
    return address.domain << 16 | address.bus << 8 | address.dev << 3 | address.fn


def taken(address: PciAddress, bus: Path = BUS) -> HostDevice:
    """Take a device from its driver, unless that is done, and tell what a guest needs of it.

    Errors: `Internal_error` that names the device.
    """
    name = name_of(address)
    device = bus / "devices" / name
    if not device.is_dir():
        raise internal_error(f"This host has no PCI device {name}: correct the address, see `lspci -D`")
    if not (bus / "drivers" / DRIVER).is_dir():
        raise internal_error(f"PCI device {name} cannot be given to a guest: `modprobe xen-pciback`")
    try:
        _bind(bus, name)
        return described(address, bus)
    except OSError as error:
        raise internal_error(
            f"PCI device {name} is not let go of by its driver, or not taken by pciback: {error}; see the "
            "kernel's log"
        ) from error


def described(address: PciAddress, bus: Path = BUS) -> HostDevice:
    """What a guest needs of a device. Errors: OSError, ValueError."""
    device = bus / "devices" / name_of(address)
    ports, frames = [], []
    for line in (device / "resource").read_text().splitlines():
        first, last, flags = (int(word, 16) for word in line.split())
        if flags & _PORTS:
            ports.append((first, last - first + 1))
        elif flags & _MEMORY:
            frames.append((first >> _PAGE_SHIFT, (last >> _PAGE_SHIFT) - (first >> _PAGE_SHIFT) + 1))
    return HostDevice(
        number=number_of(address),
        ports=tuple(ports),
        frames=tuple(frames),
        interrupt=int((device / "irq").read_text()),
    )


def _bind(bus: Path, name: str) -> None:
    driver = bus / "devices" / name / "driver"
    if driver.exists() and driver.resolve().name == DRIVER:
        return
    if driver.exists():
        (driver / "unbind").write_text(name)
    with suppress(FileExistsError):  # it was its before, and knows it
        (bus / "drivers" / DRIVER / "new_slot").write_text(name)
    (bus / "drivers" / DRIVER / "bind").write_text(name)
