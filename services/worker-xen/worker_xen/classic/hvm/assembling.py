"""Assembling: an HVM guest's hardware, by what its domain has been given so far."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from engine.hosted.localdisk import refuse_unless_disk
from engine.refusals import bridge_of
from schema.fault import internal_error
from schema.objects.vbd import VbdMode, VbdType

from worker_xen.classic.dom0 import Dom0
from worker_xen.classic.hvm.command import CARDS_MAX, DRIVES_MAX, Card, Drive, Hardware
from worker_xen.classic.hvm.tap import open_tap, tap_name
from worker_xen.classic.machine import Disk, Domain, Nic
from worker_xen.classic.rules import rules_of

_MIB = 1 << 20


def hardware_of(domain: Domain, domid: int, contents: dict[str, str]) -> Hardware:
    """All that a domain has when its hardware is switched on; `contents` are its disks' paths by device."""
    disks = [disk for disk in domain.disks if disk.activated and is_emulated(disk)]
    return Hardware(
        domid=domid,
        vm=domain.vm,
        vcpus=domain.vcpus,
        memory_mib=domain.memory_target_bytes // _MIB,
        drives=tuple(drive_of(disk, contents.get(disk.id.device)) for disk in disks),
        cards=tuple(Card(nic.vif.position, nic.vif.mac) for nic in with_cards(domain.nics)),
        gets_pcis=domain.gets_pcis,
        has_usb=domain.has_usb,
    )


def is_emulated(disk: Disk) -> bool:
    """Whether a guest without drivers of Xen's finds a disk, too."""
    return disk.vbd.position is not None and disk.vbd.position[1] < DRIVES_MAX


def with_cards(nics: Iterable[Nic]) -> Iterator[Nic]:
    """Those that a guest without drivers of Xen's finds, too."""
    return (nic for nic in nics if nic.vif.position < CARDS_MAX)


def is_drive(domain: Domain, disk: Disk) -> bool:
    """Whether it is a CD drive of an HVM guest, which only the device model has."""
    return domain.is_hvm and disk.vbd.ty is VbdType.CDROM


def drive_of(disk: Disk, path: str | None) -> Drive:
    """A disk as a drive of the hardware, with that content. Errors: `Internal_error`, it has no place."""
    if disk.vbd.position is None or not is_emulated(disk):
        raise internal_error(
            f"VBD {disk.id.device} is a CD drive, which an HVM guest has at the numbers 0 to "
            f"{DRIVES_MAX - 1} only: correct the VBD's position"
        )
    return Drive(
        number=disk.vbd.position[1],
        path=path,
        is_device=path is not None and refuse_unless_disk(path),
        is_cdrom=disk.vbd.ty is VbdType.CDROM,
        is_read_only=disk.vbd.mode is VbdMode.READ_ONLY,
    )


@contextmanager
def connected(dom0: Dom0, domid: int, nics: tuple[Nic, ...]) -> Iterator[dict[int, int]]:
    """The taps of emulated cards, joined to their bridges: open files, by number, for QEMU to inherit."""
    with ExitStack() as stack:
        taps: dict[int, int] = {}
        for nic in with_cards(nics):
            name, vif = tap_name(domid, nic.vif.position), nic.vif
            taps[vif.position] = tap = open_tap(name)
            stack.callback(os.close, tap)
            rules = rules_of(name, vif)
            if not rules.is_open:
                dom0.restrict(rules)  # before the first frame can pass
            dom0.join(name, bridge_of(vif.backend), vif.mtu, up=vif.carrier)
        yield taps
