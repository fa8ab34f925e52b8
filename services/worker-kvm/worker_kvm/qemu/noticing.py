"""Noticing: what guests do to their devices unasked: media that they eject, cards that they let go of."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from engine.hosted.notes import Notes
from schema.fault import XenopsError
from schema.objects.dynamic import ObjectId, VbdObject, VifObject

from worker_kvm.passthrough import objects_of
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk, Domain, Machine
from worker_kvm.qemu.media import empty_if_opened, opened_trays

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Noticing:
    """Of a host's domains; what has become of their drives is noted."""

    notes: Notes[Machine]

    def changed(self, machine: Machine, live: Live | None, device: str) -> Iterator[ObjectId]:
        """What has changed when a guest has let go of a device, or opened a drive: that is emptied first."""
        domain = machine.living()
        for nic in domain.nics:
            if nic.device == device:
                yield VifObject(id=nic.id)
        yield from objects_of(domain, device)
        for disk in domain.disks:
            if disk.slot.device != device or live is None:
                continue
            if self._is_emptied(machine.id, live, disk) or live.lacks(device):
                yield VbdObject(id=disk.id)

    def _is_emptied(self, vm: str, live: Live, seen: Disk) -> bool:
        """Whether the guest had opened a drive, which is empty now."""
        with live.trays:
            disk = self.notes.look(vm).disk(seen.id)
            try:
                if disk is None or not empty_if_opened(live, disk):
                    return False
            except XenopsError as error:
                _LOG.warning("VM %s: the guest's eject of %s: %s", vm, seen.id.device, error)
                return False
            self.notes.change(vm, lambda machine: machine.with_disk(disk.holding(None, source=None)))
            return True


def missed(domain: Domain, live: Live) -> set[str]:
    """The devices that a guest has let go of, or opened, while nobody listened. Errors: as of `Live.do`."""
    disks = [disk for disk in domain.disks if disk.activated]
    others = (held.device for devices in (domain.nics, domain.pcis, domain.usbs) for held in devices)
    named = {*others, *(disk.slot.device for disk in disks)}
    return (named - live.devices()) | opened_trays(live)
