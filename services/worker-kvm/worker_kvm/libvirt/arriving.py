"""Arriving: a VM that comes from another host's libvirtd while its guest runs there."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from threading import Thread

from engine.image import ImageStream
from schema.fault import internal_error
from virt.handover import Entrance
from virt.values import VirtError

from worker_kvm.libvirt.departing import DRAIN_TIMEOUT_S
from worker_kvm.libvirt.hypervisor import Hypervisor, Settle
from worker_kvm.libvirt.machine import Domain
from worker_kvm.libvirt.migration_protocol import STATE_LINE, Accepted, Offer, Performed, Talk, unexpected
from worker_kvm.libvirt.persistent_state import name_of
from worker_kvm.qemu.disk_growth import size_on_host
from worker_kvm.qemu.mirrored import Mirrored
from worker_kvm.tunnels import open_tunnel_in


@dataclass(frozen=True, slots=True)
class Arrival:
    """What comes: the source's `offer`, and the lines of a `stream`."""

    hypervisor: Hypervisor
    offer: Offer
    stream: ImageStream
    talk: Talk

    def come(self, domain: Domain, document: str, settle: Settle) -> None:
        """Have libvirt take it in as a domain that stands still; failed, there is none.

        What is to `settle` of it is done while its state comes: then its guest does not wait for that.

        Errors: `VirtError`, `Internal_error`, the other side fails or brings what has no place here.
        """
        mirrored = self.offer.mirrored
        _refuse_others(mirrored, domain)
        disks = [each.device for each in mirrored]
        entrance = Entrance(self.hypervisor.virt, name_of(domain.uuid), disks)
        sockets = self.hypervisor.socket_directories.sockets(domain.domid)
        cookie = entrance.prepare(document, sockets, self.offer.cookie)
        try:
            settle()
            self.talk.say(Accepted(cookie=cookie))
            with ExitStack() as ending:
                threads = [open_tunnel_in(sockets.state, self.stream.line(STATE_LINE), ending)]
                threads += [open_tunnel_in(sockets.disks, self.stream.line(name), ending) for name in disks]
                if disks:
                    self._finish_after_disks(entrance, threads)
                else:
                    self._finish_at_once(entrance, threads)
        except BaseException:
            with suppress(VirtError):
                entrance.finish(failed=True)
            raise

    def _finish_after_disks(self, entrance: Entrance, threads: Sequence[Thread]) -> None:
        """What takes disks in ends when the domain is finished: not before the source has sent all."""
        cookie = self._performed()
        for thread in threads:
            thread.join(DRAIN_TIMEOUT_S)
        entrance.finish(cookie, failed=False)

    def _finish_at_once(self, entrance: Entrance, threads: Sequence[Thread]) -> None:
        """Once QEMU there has hung up: libvirtd there tells of it some milliseconds later.

        The guest stands still anyhow until both sides agree; of one whose source fails now nothing stays.
        """
        for thread in threads:
            thread.join()
        entrance.finish(failed=False)
        self._performed()

    def _performed(self) -> str:
        match self.talk.hear():
            case Performed(cookie=cookie):
                return cookie
            case other:
                raise unexpected(other)


def _refuse_others(mirrored: Sequence[Mirrored], domain: Domain) -> None:
    """What comes along must be for disks of its size."""
    known = {disk.target: disk for disk in domain.disks if disk.source is not None}
    for each in mirrored:
        disk = known.get(each.device)
        if disk is None or disk.source is None:
            raise internal_error(f"it brings the content of {each.device!r}, which is no disk to be written")
        size = size_on_host(disk.source) if disk.source.format == "raw" else None
        if size is not None and size != each.size:
            path = disk.source.path
            raise internal_error(
                f"The disk {path} has {size} bytes on this host, and {each.size} on the one that its VM "
                f"comes from: make it as large (qemu-img create -f raw {path} {each.size})"
            )
