"""Pci: which of a host's PCI devices may be given to a guest together, from what the host says of them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from schema.fault import XenopsError, internal_error
from schema.objects.pci import PciAddress

VFIO_DRIVER = "vfio-pci"
"""The host's driver of devices that guests get."""

_IDLE_DRIVERS = frozenset({None, VFIO_DRIVER, "pci-stub", "pcieport"})
"""With these the kernel lets a guest have a device's group: they move no data but guests'; vfio.rst."""

_LIMITS = {"domain": 0xFFFF, "bus": 0xFF, "dev": 0x1F, "fn": 0x7}
"""The largest of each part of an address."""


@dataclass(frozen=True, slots=True)
class Member:
    """A device of an IOMMU group, as `0000:01:00.0`, and its driver on the host, if it has one."""

    name: str
    driver: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Devices that the IOMMU cannot keep apart: a guest has all of them, or none."""

    number: int
    members: tuple[Member, ...]


def name_of(address: PciAddress) -> str:
    """A device's name in sysfs, as `0000:01:00.0`; nothing that is no address ever becomes one.

    Errors: `Internal_error`, there can be no such address.
    """
    for part, largest in _LIMITS.items():
        number = getattr(address, part)
        if not 0 <= number <= largest:
            raise internal_error(
                f"A PCI device's address has {part} {number}, which must be between 0 and {largest}: see "
                "`lspci -D` for this host's devices"
            )
    return f"{address.domain:04x}:{address.bus:02x}:{address.dev:02x}.{address.fn:x}"


def to_take(group: Group, name: str, own: Collection[str]) -> tuple[Member, ...]:
    """What of its group the host must let go of, that a VM whose devices are `own` may have a device.

    Errors: `Internal_error` that names the devices that others use.
    """
    used = [member for member in group.members if member.driver not in _IDLE_DRIVERS]
    others = [member for member in used if member.name != name and member.name not in own]
    if others:
        raise internal_error(
            f"PCI device {name} cannot be given to a VM: IOMMU group {group.number} has also "
            f"{_listed(others)}, which this host uses, and the IOMMU cannot keep them apart; give the VM "
            "these, too, or unbind them from their drivers"
        )
    return tuple(member for member in group.members if member.name == name or member in used)


def held_by_another(name: str, vm: str, *, itself: bool) -> XenopsError:
    """What is said of a device that another VM has, or, not `itself`, one of its IOMMU group."""
    what = "it is" if itself else "a device of its IOMMU group is"
    return internal_error(
        f"PCI device {name} cannot be given to a VM: {what} in use by VM {vm}; shut that one down, or take "
        "another device"
    )


def _listed(members: Iterable[Member]) -> str:
    return ", ".join(f"{member.name} (driver {member.driver})" for member in members)
