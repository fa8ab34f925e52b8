"""Suspend: a VM's memory into an image and out of it, by libxl; there is a whole VM at the end or none."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.backend import Devices, Execution
from engine.hosted.storage.place import Place
from engine.hosted.usb import refuse_with_usbs
from engine.image import Image, ImageStream
from schema.fault import XenopsError, internal_error
from schema.objects.errors import FailedToAcknowledgeSuspendRequest
from schema.objects.vm import Pv, Vm

from worker_xen.gathered.devices import with_devices
from worker_xen.pump import pumped
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.image import (
    FileImage,
    chunks_from,
    chunks_to,
    read_head,
    wipe,
    write_end,
    write_head,
)
from worker_xen.xenlight.libxl import OnAbort
from worker_xen.xenlight.sleeping import refuse_asleep
from worker_xen.xenlight.values import Json


def save_vm(hypervisor: Hypervisor, execution: Execution, vm: Vm, image: Image, *, live: bool) -> None:
    """Write the image; see `VmVerbs.save`. PV is never saved live: Xen without shadow paging cannot.

    Errors: `Failed_to_acknowledge_suspend_request` at once when the guest is paused, for it is to take part.
    """
    domain, domid = hypervisor.running(vm.id)
    if domain.saved:
        return
    refuse_with_usbs(vm.id, domain)
    refuse_asleep(hypervisor, domain, domid)
    execution.check_cancelled()
    _, info = hypervisor.seen(vm.id)
    if info is None or info.paused or info.reason is not None:
        raise XenopsError(FailedToAcknowledgeSuspendRequest())
    with (
        hypervisor.content.placed(image, domain.owner, read_only=False) as place,
        _saving(hypervisor, vm, place),
        _written(place, vm) as stream,
    ):
        write_head(stream, vm.id, has_usb=domain.has_usb)
        carry = chunks_to(stream, _progress(execution, vm))
        with pumped(carry, to_library=False) as file, spoken(execution):
            is_live = live and not isinstance(vm.ty, Pv)
            hypervisor.libxl.suspend(domid, file, execution.cancellable, live=is_live)
        write_end(stream)
        execution.forbid_cancel()


def restore_vm(
    hypervisor: Hypervisor, execution: Execution, vm: Vm, image: Image, *, devices: Devices
) -> None:
    """Read the image into a domain with its devices; see `VmVerbs.restore`."""
    if hypervisor.look(vm.id).living().domid is not None:
        return
    execution.check_cancelled()
    owner = hypervisor.look(vm.id).living().owner
    with hypervisor.content.placed(image, owner, read_only=True) as place, _read(place, vm) as stream:
        has_usb = read_head(stream, vm.id)
        sources = hypervisor.content.open_all(devices.vbds, owner)
        hypervisor.change(
            vm.id, lambda machine: with_devices(machine, devices, sources).with_domain(has_usb=has_usb)
        )
        carry = chunks_from(stream, vm.id, _progress(execution, vm))
        try:
            with pumped(carry, to_library=True) as file:

                def restore(config: Json, aborting: OnAbort) -> int:
                    return hypervisor.libxl.restore(config, file, aborting)

                hypervisor.launch(execution, vm.id, restore)
        except BaseException:
            _forget(hypervisor, vm)
            raise
    hypervisor.change(vm.id, lambda machine: machine.but(suspended=False))


def resume_vm(hypervisor: Hypervisor, vm: Vm) -> None:
    """Go on in the domain that was saved; it runs already, nothing to do."""
    domain, domid = hypervisor.running(vm.id)
    if domain.saved:
        with spoken():
            hypervisor.libxl.resume(domid)
        hypervisor.change(vm.id, lambda machine: machine.with_domain(saved=False).but(suspended=False))


@contextmanager
def _saving(hypervisor: Hypervisor, vm: Vm, image: Place | ImageStream) -> Iterator[None]:
    """While inside, a guest is saved, and where to is noted; it goes on, unless its image is whole."""
    path = str(image.path) if isinstance(image, Place) else None
    hypervisor.change(vm.id, lambda machine: machine.with_domain(saving=path))
    try:
        yield
    except BaseException:
        hypervisor.change(vm.id, lambda machine: machine.with_domain(saving=None))
        hypervisor.call_back(vm.id)
        raise
    hypervisor.change(vm.id, lambda machine: machine.with_domain(saving=None, saved=True).but(suspended=True))


def _forget(hypervisor: Hypervisor, vm: Vm) -> None:
    """A restore has failed: what Xen has of the domain goes, what is noted of it begins anew."""
    noted = hypervisor.look(vm.id).domain
    if noted is not None and noted.domid is not None:
        with spoken():
            hypervisor.libxl.destroy(noted.domid)
    fresh = {"domid": None, "built": False, "disks": (), "nics": ()}
    hypervisor.change(vm.id, lambda machine: machine.with_domain(**fresh) if machine.domain else machine)


@contextmanager
def _written(image: Place | ImageStream, vm: Vm) -> Iterator[ImageStream]:
    """Where to write; what breaks off on a disk is no image."""
    if not isinstance(image, Place):
        yield image
        return
    path, flags = image.path, os.O_WRONLY | os.O_CLOEXEC | (0 if image.lasts else os.O_CREAT | os.O_TRUNC)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise internal_error(
            f"Cannot suspend VM {vm.id} to {path}: {error.strerror}; see to the disk and its rights"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        try:
            yield FileImage(file)
            file.flush()
        except BaseException:
            wipe(path)
            raise


@contextmanager
def _read(image: Place | ImageStream, vm: Vm) -> Iterator[ImageStream]:
    """Whence to read."""
    if not isinstance(image, Place):
        yield image
        return
    path = image.path
    try:
        file = path.open("rb")
    except OSError as error:
        raise internal_error(
            f"Cannot resume VM {vm.id}: there is no suspend image {path}: {error.strerror}"
        ) from error
    with file:
        yield FileImage(file)


def _progress(execution: Execution, vm: Vm) -> Callable[[int], None]:
    """Of about as many bytes as the VM has memory."""
    return lambda come: execution.progress(min(1.0, come / max(1, vm.memory_static_max)))
