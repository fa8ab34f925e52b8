"""Saving: a VM to its suspend image or to another host, and back, or on in its domain."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Devices, Execution
from engine.hosted.storage.content import Content
from engine.hosted.storage.place import Place
from engine.image import Image, ImageStream
from schema.fault import XenopsError, internal_error
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import FailedToAcknowledgeSuspendRequest
from schema.objects.vm import Vm

from worker_kvm.kind import Kind
from worker_kvm.qemu.ahead import read_ahead
from worker_kvm.qemu.arriving import Here, fitted
from worker_kvm.qemu.devices import USB
from worker_kvm.qemu.exporting import exporting
from worker_kvm.qemu.framing import PIECE_BYTES, Head, Reader, Writer, version_of
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.imagefile import drafted, opened, without_signature
from worker_kvm.qemu.incoming import announce, receive, receive_itself
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk, Domain, Saving, restored, resumed, saved
from worker_kvm.qemu.mirrored import Mirrored, going_along, refuse_others
from worker_kvm.qemu.mirroring import Way, mirroring
from worker_kvm.qemu.nodes import size_of_node
from worker_kvm.qemu.outgoing import ALONE, Company, await_stillness, bound, send, send_itself
from worker_kvm.qemu.process import kill
from worker_kvm.qemu.vcpus import set_vcpus
from worker_kvm.watched import Status

AHEAD_BYTES_MAX = 32 << 20
"""What is kept of an image in memory at most until QEMU takes it."""

_TYPE_SUFFIX = "-machine"


@dataclass(frozen=True, slots=True)
class _State:
    """One that comes: from a file, or by a `stream` from another host; its head has been read."""

    head: Head
    pieces: Iterator[bytes]
    stream: ImageStream | None = None

    def connection(self) -> int:
        """What QEMU can read itself. Errors: `ValueError`."""
        descriptor = None if self.stream is None else self.stream.descriptor()
        if descriptor is None:
            raise ValueError("what QEMU has written is not in records, which it may be on a connection alone")
        return descriptor


class Savings:
    """States of this host's VMs; safe for any thread. `content` tells where a disk's content is."""

    def __init__(self, hypervisor: Hypervisor, content: Content) -> None:
        self._hypervisor = hypervisor
        self._content = content
        self._here = Here(content.open, hypervisor.settings.bridged)

    def save(self, vm: Vm, image: Image, execution: Execution, *, live: bool) -> None:
        """Write the guest's state; it is not asked, and takes no part. Not `live`, it stands still at once.

        Errors: `Failed_to_acknowledge_suspend_request` by one that has ended; `Internal_error`. The VM then
        runs on, and there is no image.
        """
        domain = self._hypervisor.look(vm.id).launched()
        if domain.suspended:
            return
        qemu = self._hypervisor.running(vm.id)
        if domain.new_here:
            raise internal_error(
                f"VM {vm.id} has not run on this host yet, and has not taken its disks: unpause it first"
            )
        if qemu.status is Status.ENDED:
            raise XenopsError(FailedToAcknowledgeSuspendRequest())
        execution.check_cancelled()
        if not isinstance(image, LocalDisk | Vdi):
            bound(qemu, self._hypervisor.settings.migration_mib_s)
            self._save(domain, qemu, None, lambda: self._to_stream(image, domain, qemu, execution), live=live)
            return
        with self._content.image(image, domain.owner, read_only=False) as place:
            bound(qemu, None)
            self._save(
                domain, qemu, place.draft, lambda: self._to_file(place, domain, qemu, execution), live=live
            )

    def _save(
        self, domain: Domain, qemu: Live, draft: Path | None, write: Callable[[], None], *, live: bool
    ) -> None:
        """Note that a save is under way; one that fails is taken back."""
        saving = Saving(was_running=qemu.status is Status.RUNNING, draft=draft and str(draft))
        self._hypervisor.change_domain(domain.domid, lambda machine: machine.with_domain(saving=saving))
        try:
            if saving.was_running and not live:
                qemu.pause()
            write()
        except BaseException:
            if saving.was_running and qemu.status is Status.PAUSED:
                _go_on(qemu)
            self._hypervisor.change_domain(domain.domid, lambda machine: machine.with_domain(saving=None))
            raise
        self._hypervisor.change_domain(domain.domid, saved)

    def restore(self, vm: Vm, devices: Devices, image: Image, execution: Execution) -> None:
        """Read a state into a new QEMU, which has the devices that the state is of.

        Errors: `Internal_error` that says what is wrong with the image; there is no QEMU then.
        """
        if self._hypervisor.look(vm.id).living().built:
            return
        execution.check_cancelled()
        try:
            if isinstance(image, LocalDisk | Vdi):
                owner = self._hypervisor.look(vm.id).living().owner
                with (
                    self._content.image(image, owner, read_only=True) as place,
                    opened(place.path, vm.id) as read,
                ):
                    self._read_file(vm, devices, Reader(read), execution)
            else:
                reader = Reader(image.read)
                self._read(vm, devices, _State(reader.head(), reader.pieces(), image), execution)
        except ValueError as error:
            raise internal_error(
                f"Cannot resume VM {vm.id}: its suspend image is damaged: {error}"
            ) from error

    def resume(self, vm: Vm) -> None:
        """Go on after a save; whoever wrote to the disks meanwhile must have ended."""
        if not self._hypervisor.look(vm.id).launched().suspended:
            return
        live = self._hypervisor.running(vm.id)
        if live.status is not Status.RUNNING:
            _go_on(live)
        announce(live)
        self._hypervisor.change(vm.id, resumed)

    def _to_file(self, place: Place, domain: Domain, live: Live, execution: Execution) -> None:
        with drafted(place) as draft:
            write = without_signature(draft.write) if place.lasts else draft.write
            writer = Writer(write)
            writer.head(self._head(domain, live))
            self._write(writer, live, execution, ALONE)
            draft.commit()

    def _to_stream(self, stream: ImageStream, domain: Domain, live: Live, execution: Execution) -> None:
        """By QEMU itself, where the stream is a connection; disks that are not shared go first."""
        writer, connection, disks = Writer(stream.write), stream.descriptor(), going_along(domain.disks)
        head = self._head(domain, live)
        version = version_of(in_records=connection is None, has_disks=bool(disks))
        mirrored = tuple(_mirrored(live, disk) for disk in disks)
        writer.head(head.model_copy(update={"version": version, "mirrored": mirrored}))
        with mirroring(live, disks, self._way(domain.domid, stream), execution) as company:
            if connection is None:
                self._write(writer, live, execution, company)
            else:
                send_itself(live, connection, execution, company)

    def _way(self, domid: int, stream: ImageStream) -> Way:
        settings, own = self._hypervisor.settings, self._hypervisor.sockets(domid).own
        owner = None if settings.user is None else settings.user.of(domid)
        return Way(own, owner, stream, settings.migration_mib_s)

    @staticmethod
    def _write(writer: Writer, live: Live, execution: Execution, company: Company) -> None:
        send(live, writer, execution, company)
        writer.end()

    def _head(self, domain: Domain, live: Live) -> Head:
        kind = str(live.do("qom-get", {"path": "/machine", "property": "type"})).removesuffix(_TYPE_SUFFIX)
        usb_port = domain.usb_port if live.has_device(USB) else None  # its guest may have let go of it
        kept = domain.model_copy(
            update={"process": None, "saving": None, "machine": kind, "usb_port": usb_port}
        )
        accelerator = self._hypervisor.settings.accelerator
        return Head(machine=kind, accelerator=accelerator, qemu=_version(live), domain=kept)

    def _read_file(self, vm: Vm, devices: Devices, reader: Reader, execution: Execution) -> None:
        """Its first pieces are read and checked while QEMU comes up."""
        head = reader.head()
        with read_ahead(reader.pieces(), AHEAD_BYTES_MAX // PIECE_BYTES) as pieces:
            self._read(vm, devices, _State(head, pieces), execution)

    def _read(self, vm: Vm, devices: Devices, state: _State, execution: Execution) -> None:
        head, before = state.head, self._hypervisor.look(vm.id)
        if head.accelerator != self._hypervisor.settings.accelerator:
            raise internal_error(
                f"Cannot resume VM {vm.id}: it was saved on {head.accelerator}, and this host has "
                f"{self._hypervisor.settings.accelerator}: resume it on a host as that one"
            )
        domain = fitted(before.living(), head, devices, self._here)
        moves = state.stream is not None
        refuse_others(head.mirrored, domain.disks if moves else ())
        self._hypervisor.change(vm.id, lambda machine: machine.but(domain=domain))
        try:
            live = self._hypervisor.launch(vm.id, awaits_state=True)
            _refuse_other_microvm(domain, head, live)
            live.arrives(arriving=True)
            if domain.vcpus_of_start not in {None, domain.vm.vcpus}:
                # those that were plugged: the state is of them, too
                set_vcpus(live, domain.vm.vcpus, self._hypervisor.settings.accelerator)
            if moves:  # noted while it comes: its guest stands still until that is done
                self._hypervisor.change(vm.id, lambda machine: restored(machine, new_here=True))
            with exporting(
                live, _told(head, domain), self._hypervisor.sockets(domain.domid).directory, state.stream
            ):
                if head.in_records:
                    pieces = _telling(state.pieces, domain.vm.memory_static_max, execution)
                    receive(live, pieces, takes_disks=not moves)
                else:
                    receive_itself(live, state.connection())
            live.arrives(arriving=False)
        except BaseException:
            if (doomed := self._hypervisor.live(vm.id)) is not None:
                kill(doomed.process)  # it has nothing to put away, and may hear nothing
            self._hypervisor.end(vm.id)
            self._hypervisor.change(vm.id, lambda _: before)
            raise
        if not moves:
            live.measure()
            self._hypervisor.change(vm.id, lambda machine: restored(machine, new_here=False))
        execution.progress(1.0)


def _mirrored(live: Live, disk: Disk) -> Mirrored:
    return Mirrored(device=disk.slot.device, size=size_of_node(live, disk.slot.node) or 0)


def _version(live: Live) -> str:
    """Of a QEMU, as `7.2`: those that differ by what follows have the same machines."""
    version = live.do("query-version")["qemu"]
    return f"{version['major']}.{version['minor']}"


def _refuse_other_microvm(domain: Domain, head: Head, live: Live) -> None:
    """QEMU promises nothing of a microvm from one version to the next. Errors: `Internal_error`."""
    here = _version(live) if domain.kind is Kind.MICROVM else head.qemu
    if here != head.qemu:
        raise internal_error(
            f"Cannot resume VM {domain.vm.id}: it is a microvm of QEMU {head.qemu}, and this host has "
            f"{here}, which may make another machine of it: resume it on a host as that one, or start it anew"
        )


def _told(head: Head, domain: Domain) -> list[tuple[Mirrored, Disk]]:
    """What comes along, each with the disk that it is for."""
    disks = {disk.slot.device: disk for disk in domain.disks}
    return [(told, disks[told.device]) for told in head.mirrored]


def _go_on(live: Live) -> None:
    await_stillness(live)
    live.unpause()


def _telling(pieces: Iterator[bytes], memory_bytes: int, execution: Execution) -> Iterator[bytes]:
    """The same, with progress, and an end when cancelled: there may be less than all of memory, or more."""
    cancelled, come = threading.Event(), 0
    with execution.cancellable(cancelled.set):
        for piece in pieces:
            if cancelled.is_set():
                execution.check_cancelled()
            come += len(piece)
            execution.progress(min(0.99, come / max(1, memory_bytes)))
            yield piece
