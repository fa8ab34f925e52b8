"""Passing: a PCI device of the host as one of an HVM guest's hardware, which its device model shows it."""

from engine.backend import Execution
from schema.objects.pci import PciAddress

from worker_xen.classic.hvm.emulators import Emulators
from worker_xen.classic.pciback import name_of

TIMEOUT_S = 60.0
"""How long a guest may take to let go of it, as of its other devices."""

_POLL_S = 0.05
"""No event tells for sure that it is gone: one that was sent while nobody listened is lost."""


def has(emulators: Emulators, domid: int, address: PciAddress) -> bool:
    """Whether a domain's device model shows a device; there is none, it does not."""
    return emulators.has_device(domid, _id_of(address))


def show(emulators: Emulators, domid: int, address: PciAddress) -> None:
    """Show it to the guest, which finds it as it does any new hardware. Errors: `Internal_error`."""
    emulators.do(
        domid,
        "device_add",
        {"driver": "xen-pci-passthrough", "id": _id_of(address), "hostaddr": name_of(address)},
    )


def let_go(emulators: Emulators, domid: int, address: PciAddress, execution: Execution) -> bool:
    """Ask the guest, by ACPI, to let go of it; answers whether it has in time. Errors: `Internal_error`."""
    emulators.do(domid, "device_del", {"id": _id_of(address)})
    for _ in range(round(TIMEOUT_S / _POLL_S)):
        if not has(emulators, domid, address):
            return True
        execution.wait(_POLL_S)
    return False


def _id_of(address: PciAddress) -> str:
    """What the device model calls it, as in the original."""
    return f"pci-pt-{address.bus:02x}_{address.dev:02x}.{address.fn:x}"
