"""Departing: a VM on its way to another host while its guest runs, from its libvirtd to the other one."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from engine.backend import Execution
from engine.image import ImageStream
from schema.fault import internal_error
from schema.objects.vbd import VbdMode, VbdType
from virt.handover import Departure, host_of
from virt.phases import are_there
from virt.spoken import spoken
from virt.values import VirtError

from worker_kvm.downtime import FIRST_DOWNTIME_MS, Downtime
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.jobs import Job, run_job
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Disk
from worker_kvm.libvirt.migration_protocol import (
    STATE_LINE,
    Accepted,
    Offer,
    Performed,
    SendsFile,
    Talk,
    WantsFile,
    talking,
    unexpected,
)
from worker_kvm.qemu.mirrored import Mirrored, goes_along
from worker_kvm.tunnels import open_tunnel_out

DRAIN_TIMEOUT_S = 10.0
"""How long what QEMU has written may take from this process to the network."""


def depart(hypervisor: Hypervisor, execution: Execution, vm: str, stream: ImageStream) -> bool:
    """Have a VM's guest stand still and its state, and disks, be with the other host; see `VmVerbs.save`.

    Answers whether it is: no, the other side wants a file instead. Failed or cancelled, the guest goes on.
    Errors: `Internal_error` with libvirt's words or the other side's, `Cancelled`.
    """
    live, domain = hypervisor.running(vm), hypervisor.look(vm).launched()
    disks = going_along(domain.disks)
    with talking(stream, execution) as talk:
        with spoken():
            has_way = are_there() and hypervisor.socket_directories.make(domain.domid)
        if not has_way:
            _refuse_file(vm, disks)
            talk.say(SendsFile())
            return False
        live.departure = Departure(hypervisor.virt, live.uuid, [disk.target for disk in disks])
        live.leave()
        hypervisor.note_moving(vm, moving=True)
        try:
            leaving = _Leaving(hypervisor, live, domain.domid, live.departure, disks)
            has_gone = leaving.go(execution, stream, talk)
            if not has_gone:
                _refuse_file(vm, disks)
        except VirtError as error:
            stay(hypervisor, vm, live)
            execution.check_cancelled()
            raise internal_error(f"Cannot migrate VM {vm}: {error}") from error
        except BaseException:
            stay(hypervisor, vm, live)
            raise
        if not has_gone:
            stay(hypervisor, vm, live)
            return False
    execution.forbid_cancel()
    return True


def stay(hypervisor: Hypervisor, vm: str, live: Live) -> None:
    """A domain that was on its way goes on as it was before; it was not, nothing to do."""
    departure, live.departure = live.departure, None
    if departure is not None:
        with suppress(VirtError):  # one whose copy has failed is confirmed already
            departure.confirm(failed=True)
    live.stay()
    with suppress(VirtError):
        live.look(hypervisor.virt.find(live.uuid))
    hypervisor.note_moving(vm, moving=False)


def going_along(disks: Sequence[Disk]) -> list[Disk]:
    """Those whose content goes with them; one that its guest cannot write must be at both hosts already."""
    return [
        disk
        for disk in disks
        if disk.activated
        and disk.source is not None
        and disk.vbd.ty is not VbdType.CDROM
        and disk.vbd.mode is VbdMode.READ_WRITE
        and goes_along(disk.vbd)
    ]


@dataclass(frozen=True, slots=True)
class _Leaving:
    hypervisor: Hypervisor
    live: Live
    domid: int
    departure: Departure
    disks: Sequence[Disk]

    def go(self, execution: Execution, stream: ImageStream, talk: Talk) -> bool:
        mirrored = tuple(
            Mirrored(device=disk.target, size=self.hypervisor.virt.disk_bytes(self.live.uuid, disk.target))
            for disk in self.disks
        )
        document, cookie = self.departure.begin(FIRST_DOWNTIME_MS, self.hypervisor.settings.migration_mib_s)
        talk.say(
            Offer(host=host_of(self.hypervisor.virt), document=document, cookie=cookie, mirrored=mirrored)
        )
        match talk.hear():
            case WantsFile():
                return False
            case Accepted(cookie=cookie):
                talk.say(Performed(cookie=self._perform(execution, stream, cookie)))
                return True
            case other:
                raise unexpected(other)

    def _perform(self, execution: Execution, stream: ImageStream, cookie: str) -> str:
        directories = self.hypervisor.socket_directories
        sockets, owner = directories.sockets(self.domid), directories.owner()
        with ExitStack() as ending:
            threads = open_tunnel_out(sockets.state, [stream.line(STATE_LINE)], ending, owner)
            if self.disks:
                lines = [stream.line(disk.target) for disk in self.disks]
                threads += open_tunnel_out(sockets.disks, lines, ending, owner)
            downtime = Downtime(self._allow)
            downtime.set_out()
            job = Job(self.hypervisor.virt, self.live.uuid, downtime.look)
            performed = run_job(job, execution, lambda: self.departure.perform(sockets, cookie))
            for thread in threads:
                thread.join(DRAIN_TIMEOUT_S)
            return performed

    def _allow(self, downtime_ms: int) -> None:
        with suppress(VirtError):  # it may have come to its end just now
            self.departure.allow_downtime(downtime_ms)


def _refuse_file(vm: str, disks: Sequence[Disk]) -> None:
    if disks:
        raise internal_error(
            f"VM {vm} goes to where it can go as a file alone, and disks do not go along with that: share "
            f"{', '.join(disk.vbd.id.device for disk in disks)} between both hosts"
        )
