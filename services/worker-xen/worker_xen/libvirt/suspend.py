"""Suspend: a VM's memory into a file and out of it, by libvirt; there is a whole VM at the end or none.

To another host goes the file, too: of a save that fails, libvirt lets no guest go on.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

from engine.backend import Devices, Execution
from engine.hosted.localdisk import image_path, refuse_unless_file
from engine.hosted.sent_file import receive_image, send_image, size_max
from engine.image import Image, ImageStream
from schema.fault import XenopsError, internal_error
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.errors import FailedToAcknowledgeSuspendRequest, FailedToStartEmulator
from schema.objects.vm import Vm
from virt.seal import check_seal, seal
from virt.values import VirtError

from worker_xen.gathered.devices import with_devices
from worker_xen.libvirt.feeding import Feed
from worker_xen.libvirt.hypervisor import Hypervisor

_PROGRESS_POLL_S = 0.2


def save_vm(hypervisor: Hypervisor, execution: Execution, vm: Vm, image: Image) -> None:
    """Write the image; see `VmVerbs.save`. Libvirt breaks none off on Xen, and so no task can.

    Errors: `Unimplemented` to a disk that is no file, `Failed_to_acknowledge_suspend_request` at once when
    the guest is paused, for it is to take part, `Internal_error`; those of the stream, and `Cancelled` while
    it is sent: the VM then runs on.
    """
    if hypervisor.look(vm.id).living().saved:
        return
    if isinstance(image, LocalDisk | Vdi):
        _save_for_its_owner(hypervisor, execution, vm, image)
    else:
        _save_and_send(hypervisor, execution, vm, image)


def _save_for_its_owner(hypervisor: Hypervisor, execution: Execution, vm: Vm, image: Disk) -> None:
    hypervisor.running(vm.id)
    path = image_path(image, "VM.suspend to")
    refuse_unless_file(path)
    _refuse_unless_awake(hypervisor, execution, vm)
    execution.forbid_cancel()
    try:
        with hypervisor.saving(vm.id, str(path)):
            _save(hypervisor, execution, vm, path)
            seal(path)
            hypervisor.saved(vm.id)
    except OSError as error:
        raise internal_error(
            f"VM {vm.id} is suspended to {path}, and that could not be sealed: {error}; see to the disk, "
            "start the worker anew"
        ) from error


def _save_and_send(hypervisor: Hypervisor, execution: Execution, vm: Vm, stream: ImageStream) -> None:
    """What is saved, and cannot be sent, goes on here."""
    domain, _ = hypervisor.running(vm.id)
    _refuse_unless_awake(hypervisor, execution, vm)
    path = hypervisor.on_the_way.leaving(domain)
    with hypervisor.saving(vm.id, str(path)):
        _save(hypervisor, execution, vm, path)
        hypervisor.saved(vm.id)
    try:
        seal(path)
        send_image(path, stream, execution)
        execution.forbid_cancel()
    except BaseException as error:
        resume_vm(hypervisor, vm)
        if isinstance(error, OSError):
            raise internal_error(f"VM {vm.id} cannot be sent from {path}: {error}") from error
        raise


def _refuse_unless_awake(hypervisor: Hypervisor, execution: Execution, vm: Vm) -> None:
    execution.check_cancelled()
    _, info = hypervisor.seen(vm.id)
    if info is None or info.paused or info.reason is not None:
        raise XenopsError(FailedToAcknowledgeSuspendRequest())


def restore_vm(
    hypervisor: Hypervisor, execution: Execution, vm: Vm, image: Image, *, devices: Devices
) -> None:
    """Read the image into a domain with its devices; see `VmVerbs.restore`."""
    if (domain := hypervisor.look(vm.id).living()).domid is not None:
        return
    execution.check_cancelled()
    if isinstance(image, LocalDisk | Vdi):
        _restore_from(hypervisor, execution, vm, image_path(image, "VM.resume from"), devices=devices)
        return
    path = hypervisor.on_the_way.coming(domain)
    path.unlink(missing_ok=True)
    try:
        receive_image(path, image, execution, bytes_max=size_max(vm.memory_static_max))
        _restore_from(hypervisor, execution, vm, path, devices=devices)
    finally:
        path.unlink(missing_ok=True)


def _restore_from(
    hypervisor: Hypervisor, execution: Execution, vm: Vm, path: Path, *, devices: Devices
) -> None:
    check_seal(vm.id, path)
    try:
        sources = hypervisor.content.open_all(devices.vbds, hypervisor.look(vm.id).living().owner)
        hypervisor.change(vm.id, lambda machine: with_devices(machine, devices, sources))
        _restore(hypervisor, execution, vm.id, path)
    except BaseException:
        fresh = {"built": False, "disks": (), "nics": ()}
        hypervisor.change(vm.id, lambda machine: machine.with_domain(**fresh) if machine.domain else machine)
        raise
    hypervisor.change(vm.id, lambda machine: machine.with_domain(saving=None).but(suspended=False))


def resume_vm(hypervisor: Hypervisor, vm: Vm) -> None:
    """Go on from the image, in a new domain, for the one that was saved is gone; it runs: nothing to do.

    Errors: `Does_not_exist`, `Internal_error`.
    """
    domain = hypervisor.look(vm.id).living()
    if not domain.saved:
        hypervisor.running(vm.id)
        return
    hypervisor.change(vm.id, lambda machine: machine.with_domain(built=True))
    _restore(hypervisor, None, vm.id, Path(domain.saving or ""))
    hypervisor.unsaved(vm.id)
    hypervisor.set_running(hypervisor.running(vm.id)[0], runs=True)


def _save(hypervisor: Hypervisor, execution: Execution, vm: Vm, path: Path) -> None:
    """Libvirt's call waits for its end: meanwhile the task hears how far it has come.

    Errors: `Internal_error`, it runs on.
    """
    domain, _ = hypervisor.running(vm.id)
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="libvirt-save") as thread:
            saving = thread.submit(hypervisor.virt.save, domain.uuid, str(path))
            while not _is_done(saving, _PROGRESS_POLL_S):
                come = path.stat().st_size if path.exists() else 0
                execution.progress(min(1.0, come / vm.memory_static_max))
    except VirtError as error:
        path.unlink(missing_ok=True)
        raise internal_error(f"Cannot suspend VM {vm.id} to {path}: {error}") from error


def _is_done(saving: Future[None], timeout_s: float) -> bool:
    try:
        saving.result(timeout_s)
    except FutureTimeoutError:
        return False
    return True


def _restore(hypervisor: Hypervisor, execution: Execution | None, vm: str, path: Path) -> None:
    """Have libvirt make the domain, of the image, as it is noted now."""
    feeds: list[Feed] = []
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        for feed in feeds:
            feed.stop()

    def make(document: str) -> None:
        pipe = hypervisor.on_the_way.pipe(hypervisor.look(vm).living())
        feed = Feed(path, document, pipe, execution.progress if execution else lambda _: None)
        feeds.append(feed)
        try:
            if stopped.is_set():
                feed.stop()
            hypervisor.virt.restore(str(pipe), None, paused=True)
        finally:
            feed.close()

    try:
        if execution is None:
            hypervisor.launch(vm, make)
            return
        with execution.cancellable(stop):
            hypervisor.launch(vm, make)
    except XenopsError as error:
        if stopped.is_set() and execution is not None:
            execution.check_cancelled()
        if isinstance(error.error, FailedToStartEmulator):
            reason = next((str(feed.error) for feed in feeds if feed.error is not None), error.error.message)
            raise internal_error(f"Cannot resume VM {vm} from {path}: {reason}") from error
        raise
