"""Saving: a VM to its suspend image or to another host, and back, or on in its domain."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.backend import Devices, Execution
from engine.image import Image, ImageStream
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import FailedToAcknowledgeSuspendRequest
from schema.objects.vif import Vif
from schema.objects.vm import Vm

from worker_kvm.qemu.arriving import Find, Here, fitted
from worker_kvm.qemu.framing import Head, Reader, Writer
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.imagefile import draft_of, drafted, opened, path_of, without_signature
from worker_kvm.qemu.incoming import announce, receive, receive_itself
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Domain, Saving, restored, resumed, saved
from worker_kvm.qemu.outgoing import await_stillness, send, send_itself
from worker_kvm.qemu.process import kill
from worker_kvm.seen import Status

PlugVif = Callable[[Execution, VmId, Vif], None]
"""The verb."""

_TYPE_SUFFIX = "-machine"


@dataclass(frozen=True, slots=True)
class _State:
    """One that comes: from a file, or by a `stream` from another host."""

    reader: Reader
    stream: ImageStream | None = None

    def connection(self) -> int:
        """What QEMU can read itself. Errors: `ValueError`."""
        descriptor = None if self.stream is None else self.stream.descriptor()
        if descriptor is None:
            raise ValueError("what QEMU has written is not in records, which it may be on a connection alone")
        return descriptor


class Savings:
    """States of this host's VMs; safe for any thread. `find` tells where a disk's content is."""

    def __init__(self, hypervisor: Hypervisor, find: Find, plug: PlugVif) -> None:
        self._hypervisor = hypervisor
        self._here = Here(find, hypervisor.settings.bridged)
        self._plug = plug

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
        path = path_of(image) if isinstance(image, LocalDisk | Vdi) else None
        draft = None if path is None else draft_of(path)
        saving = Saving(was_running=qemu.status is Status.RUNNING, draft=draft and str(draft))
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(saving=saving))
        try:
            if saving.was_running and not live:
                qemu.pause()
            if path is not None:
                self._to_file(path, domain, qemu, execution)
            elif not isinstance(image, LocalDisk | Vdi):
                self._to_stream(image, domain, qemu, execution)
        except BaseException:
            if saving.was_running and qemu.status is Status.PAUSED:
                _go_on(qemu)
            self._hypervisor.change(vm.id, lambda machine: machine.with_domain(saving=None))
            raise
        self._hypervisor.change(vm.id, saved)

    def restore(self, vm: Vm, devices: Devices, image: Image, execution: Execution) -> None:
        """Read a state into a new QEMU, which has the devices that the state is of, and then all others.

        Errors: `Internal_error` that says what is wrong with the image; there is no QEMU then.
        """
        if self._hypervisor.look(vm.id).living().built:
            return
        execution.check_cancelled()
        try:
            if isinstance(image, LocalDisk | Vdi):
                with opened(path_of(image), vm.id) as read:
                    self._read(vm, devices, _State(Reader(read)), execution)
            else:
                self._read(vm, devices, _State(Reader(image.read), image), execution)
        except ValueError as error:
            raise internal_error(
                f"Cannot resume VM {vm.id}: its suspend image is damaged: {error}"
            ) from error
        for vif in devices.vifs:
            if self._hypervisor.look(vm.id).nic(vif.id) is None:
                self._plug(execution, VmId(vm.id), vif)

    def resume(self, vm: Vm) -> None:
        """Go on after a save; whoever wrote to the disks meanwhile must have ended."""
        if not self._hypervisor.look(vm.id).launched().suspended:
            return
        live = self._hypervisor.running(vm.id)
        if live.status is not Status.RUNNING:
            _go_on(live)
        announce(live)
        self._hypervisor.change(vm.id, resumed)

    def _to_file(self, path: Path, domain: Domain, live: Live, execution: Execution) -> None:
        with drafted(path) as draft:
            write = without_signature(draft.write) if draft_of(path) is None else draft.write
            self._write(Writer(write), domain, live, execution)
            draft.commit()

    def _to_stream(self, stream: ImageStream, domain: Domain, live: Live, execution: Execution) -> None:
        """By QEMU itself, where the stream is a connection."""
        writer, connection = Writer(stream.write), stream.descriptor()
        if connection is None:
            self._write(writer, domain, live, execution)
        else:
            writer.head(self._head(domain, live, 2))
            send_itself(live, connection, execution)

    def _write(self, writer: Writer, domain: Domain, live: Live, execution: Execution) -> None:
        writer.head(self._head(domain, live, 1))
        send(live, writer, execution)
        writer.end()

    def _head(self, domain: Domain, live: Live, version: Literal[1, 2]) -> Head:
        kind = str(live.do("qom-get", {"path": "/machine", "property": "type"})).removesuffix(_TYPE_SUFFIX)
        kept = domain.model_copy(update={"process": None, "saving": None, "machine": kind})
        accelerator = self._hypervisor.settings.accelerator
        return Head(version=version, machine=kind, accelerator=accelerator, domain=kept)

    def _read(self, vm: Vm, devices: Devices, state: _State, execution: Execution) -> None:
        head, before = state.reader.head(), self._hypervisor.look(vm.id)
        if head.accelerator != self._hypervisor.settings.accelerator:
            raise internal_error(
                f"Cannot resume VM {vm.id}: it was saved on {head.accelerator}, and this host has "
                f"{self._hypervisor.settings.accelerator}: resume it on a host as that one"
            )
        domain = fitted(before.living(), head, devices, self._here)
        moves = state.stream is not None
        self._hypervisor.change(vm.id, lambda machine: machine.but(domain=domain))
        try:
            live = self._hypervisor.launch(vm.id, awaits_state=True)
            live.arrives(arriving=True)
            if moves:  # noted while it comes: its guest stands still until that is done
                self._hypervisor.change(vm.id, lambda machine: restored(machine, new_here=True))
            if head.version == 1:
                pieces = _telling(state.reader.pieces(), domain.vm.memory_static_max, execution)
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
            self._hypervisor.change(vm.id, lambda machine: restored(machine, new_here=False))
        execution.progress(1.0)


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
