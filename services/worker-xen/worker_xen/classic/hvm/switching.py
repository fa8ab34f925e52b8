"""Switching: hardware switched on when its domain has all that it shall find."""

from engine.backend import Execution

from worker_xen.classic.hvm.assembling import connected, hardware_of, is_drive
from worker_xen.classic.hvm.command import has_serial, hvm_info
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Disk, Domain, disk_path
from worker_xen.xenstore.layout import serial_nodes


def switch_on(hypervisor: Hypervisor, domain: Domain, domid: int, execution: Execution) -> None:
    """Have a domain's device model run, and tell where its serial port is.

    A worker may have died between the two: so the second is done whether or not there was one to start.
    Errors: `Failed_to_start_emulator`.
    """
    if not hypervisor.emulators.is_there(domid):
        _start(hypervisor, domain, domid, execution)
    terminal = hypervisor.emulators.terminal(domid) if has_serial(hvm_info(domain.vm)) else None
    if terminal is not None:
        hypervisor.store.write(serial_nodes(domid, terminal))


def _start(hypervisor: Hypervisor, domain: Domain, domid: int, execution: Execution) -> None:
    found = ((disk, _content(hypervisor, domain, domid, disk)) for disk in domain.disks if disk.activated)
    contents = {disk.id.device: path for disk, path in found if path is not None}
    with connected(hypervisor.dom0, domid, domain.nics) as taps:
        hypervisor.emulators.start(hardware_of(domain, domid, contents), taps, execution)


def _content(hypervisor: Hypervisor, domain: Domain, domid: int, disk: Disk) -> str | None:
    """The path of what is in: that which a hotplug script has made of it, if one has."""
    if disk.path is None or is_drive(domain, disk) or disk.script is None:
        return disk.path
    made = hypervisor.store.read(f"{disk_path(domid, disk).backend}/physical-device-path")
    return disk.path if made is None else made.decode(errors="replace")
