"""Noticing: what happens unasked: media that a guest ejects, cards that it lets go of, disks that grow."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from engine.hosted.notes import Notes
from schema.objects.dynamic import ObjectId, VbdObject, VifObject, VmObject
from schema.objects.vbd import VbdMode, VbdType
from virt.connection import Connection
from virt.values import VirtError
from virt.xml import Element, parsed, written

from worker_kvm.clock import with_clock
from worker_kvm.libvirt.document import drive_node
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Disk, Domain, Machine
from worker_kvm.passthrough import objects_of
from worker_kvm.qemu.disk_growth import size_on_host
from worker_kvm.watched import Status

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Noticing:
    """Of one libvirtd's domains; `grown` is how large disks are for their guests, by domain and alias."""

    notes: Notes[Machine]
    virt: Connection
    grown: dict[tuple[str, str], int] = field(default_factory=dict)

    def changed(self, machine: Machine, live: Live | None, alias: str) -> Iterator[ObjectId]:
        """What has changed when a guest has let go of a device, or opened a drive: that is emptied first."""
        if live is None:
            return
        domain = machine.living()
        for nic in domain.nics:
            if nic.alias == alias:
                yield VifObject(id=nic.id)
        yield from objects_of(domain, alias)
        for disk in domain.disks:
            if disk.alias == alias and self._is_emptied(machine.id, live, disk):
                yield VbdObject(id=disk.id)

    def set_clock(self, machine: Machine, clock_s: int) -> Iterator[ObjectId]:
        """What has changed when a guest has set its clock, so far from UTC."""
        if self.notes.change(machine.id, lambda known: with_clock(known, clock_s)) != machine:
            yield VmObject(id=machine.id)

    def missed(self, domain: Domain, document: Element) -> set[str]:
        """What guests have done to their devices while nobody listened, by alias."""
        there = {found.get("name") for found in document.findall("./devices/*/alias")}
        held = {nic.alias for nic in domain.nics} | {usb.alias for usb in domain.usbs}
        held |= {pci.alias for pci in domain.pcis}
        return (held - there) | open_trays(document)

    def look_for_growth(self, guests: Iterable[tuple[Domain, Live]]) -> None:
        """Tell guests which of their disks have grown on the host, of which nobody tells libvirt."""
        for domain, live in guests:
            for disk in domain.disks:
                if live.status is Status.RUNNING and _may_grow(disk):
                    try:
                        self._note_size(domain.uuid, disk)
                    except VirtError as error:
                        _LOG.warning("%s", error)

    def _is_emptied(self, vm: str, live: Live, seen: Disk) -> bool:
        with live.trays:
            disk = self.notes.look(vm).disk(seen.id)
            try:
                if disk is None or disk.alias not in open_trays(parsed(self.virt.document(live.uuid))):
                    return False
                emptied = disk.holding(None, source=None)
                self.virt.update(live.uuid, written(drive_node(emptied)))
            except VirtError as error:
                _LOG.warning("VM %s: the guest's eject of %s: %s", vm, seen.id.device, error)
                return False
            self.notes.change(vm, lambda machine: machine.with_disk(emptied))
            return True

    def _note_size(self, uuid: str, disk: Disk) -> None:
        size, key = None if disk.source is None else size_on_host(disk.source), (uuid, disk.alias)
        if size is None or size <= self.grown.get(key, -1):
            return
        if size > self.virt.disk_bytes(uuid, disk.target):
            self.virt.resize_disk(uuid, disk.target, size)
            _LOG.info("disk %s of domain %s has grown to %d bytes", disk.alias, uuid, size)
        self.grown[key] = size


def open_trays(document: Element) -> set[str]:
    """The drives whose tray is open and that have a medium, by alias."""
    return {
        str(alias.get("name"))
        for drive in document.findall("./devices/disk[target][source][alias]")
        for target, alias in zip(drive.findall("target"), drive.findall("alias"), strict=False)
        if target.get("tray") == "open"
    }


def _may_grow(disk: Disk) -> bool:
    return (
        disk.activated
        and disk.vbd.ty is not VbdType.CDROM
        and disk.vbd.mode is VbdMode.READ_WRITE
        and disk.source is not None
        and disk.source.format == "raw"
    )
