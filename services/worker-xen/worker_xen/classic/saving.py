"""Saving: a VM to its suspend image and back, or on in its domain."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.backend import Execution
from engine.hosted.storage.place import Place
from engine.hosted.usb import refuse_with_usbs
from engine.image import Image, ImageStream
from schema.atomics.vm import ShutdownRequest
from schema.fault import XenopsError, internal_error, unimplemented
from schema.objects.errors import FailedToAcknowledgeSuspendRequest, FailedToSuspend
from schema.objects.vm import Pvh, Vm

from worker_xen.classic import suspend
from worker_xen.classic.birth import introduce
from worker_xen.classic.guest import Guest
from worker_xen.classic.hvm.sleeping import refuse_asleep
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Domain, resumed, saved
from worker_xen.classic.nature import nature_of
from worker_xen.libxc.values import ShutdownReason

SUSPEND_ACKNOWLEDGE_TIMEOUT_S = 60.0
"""How long a guest may take to say that it suspends; as in the original."""

SUSPEND_TIMEOUT_S = 1200.0
"""How long it may take to do so; as in the original."""


class Saving:
    """Suspend images of this host's VMs; safe for any thread."""

    def __init__(self, hypervisor: Hypervisor, guest: Guest) -> None:
        self._hypervisor = hypervisor
        self._guest = guest

    def save(self, vm: Vm, image: Image, execution: Execution, *, live: bool) -> None:
        """Have the guest suspend itself, and write it to a local disk or file, or to another host.

        A PVH guest that is saved live has most of its memory written before; a paravirtual one stands still
        all the time: such guests cannot be copied while they run, unless the hypervisor has shadow paging.
        So does an HVM guest, whose device model writes to its memory, too.
        Errors: `Failed_to_acknowledge_suspend_request`, at once by a VM that
        is paused; `Failed_to_suspend`; those of the image. The VM then runs on, and there is no image.
        """
        domain, info = self._hypervisor.find(vm.id).built()
        if domain.suspended:
            return
        refuse_hardware(domain)
        refuse_asleep(self._hypervisor, domain, info.domid)
        if info.is_paused:
            raise XenopsError(FailedToAcknowledgeSuspendRequest())
        try:
            model = (lambda: self._hypervisor.emulators.freeze(info.domid)) if domain.is_hvm else None
            with (
                self._hypervisor.content.placed(image, domain.owner, read_only=False) as place,
                self._drafting(vm, place),
                suspend.written(place, domain, execution, model) as descriptor,
            ):
                who = suspend.Saved(domain, live=live and isinstance(domain.vm.ty, Pvh))
                self._hypervisor.courier.save(
                    descriptor, who, lambda: self._suspend(vm, execution), execution
                )
        except BaseException:
            self._hypervisor.let_go_on(vm.id)
            raise
        self._hypervisor.change(vm.id, saved)

    @contextmanager
    def _drafting(self, vm: Vm, place: Place | ImageStream) -> Iterator[None]:
        """While inside, it is noted where the draft of an image is."""
        draft = place.draft if isinstance(place, Place) else None
        if draft is None:
            yield
            return
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(drafting=str(draft)))
        try:
            yield
        finally:
            self._hypervisor.change(vm.id, lambda machine: machine.with_domain(drafting=None))

    def restore(self, vm: Vm, image: Image, execution: Execution) -> None:
        """Read an image into an empty domain. Errors: `Internal_error` that says what is wrong with it."""
        domain, info = self._hypervisor.find(vm.id).living()
        if domain.built:
            return
        with self._hypervisor.told(vm.id):
            ports = self._hypervisor.xen.prepare(info.domid, nature_of(vm), restored=True)
        with (
            self._hypervisor.content.placed(image, domain.owner, read_only=True) as place,
            suspend.read(place, vm.id) as opened,
            self._hypervisor.told(vm.id),
        ):
            if opened.domain.is_hvm is not domain.is_hvm:
                raise internal_error(
                    f"Cannot resume VM {vm.id}: its suspend image is of another type of guest"
                )
            with self._hypervisor.scheduling.placed(info.domid, vm, opened.domain.memory_target_bytes):
                rings = self._hypervisor.courier.restore(opened.descriptor, info.domid, ports, execution)
        kept = opened.domain
        if opened.model is not None:
            self._hypervisor.emulators.keep_state(info.domid, opened.model)
        introduce(self._hypervisor.store, info.domid, rings)
        self._hypervisor.change(
            vm.id,
            lambda machine: machine.with_domain(
                built=True,
                vcpus=kept.vcpus,
                memory_target_bytes=kept.memory_target_bytes,
                has_usb=kept.has_usb,
            ).but(suspended=None),
        )

    def resume(self, vm: Vm) -> None:
        """Go on after a save."""
        self._hypervisor.find(vm.id).built()
        self._hypervisor.let_go_on(vm.id)
        self._hypervisor.change(vm.id, resumed)

    def _suspend(self, vm: Vm, execution: Execution) -> None:
        """Have the guest suspend itself; once it is asked a cancel comes too late."""
        execution.forbid_cancel()
        if not self._guest.ask(vm.id, ShutdownRequest.SUSPEND, SUSPEND_ACKNOWLEDGE_TIMEOUT_S, None):
            raise XenopsError(FailedToAcknowledgeSuspendRequest())
        if not self._guest.wait_stopped(vm.id, SUSPEND_TIMEOUT_S, None):
            raise XenopsError(FailedToSuspend(vm=vm.id, timeout_s=SUSPEND_TIMEOUT_S))
        stopped = self._hypervisor.find(vm.id).info
        if stopped is None or stopped.stopped != ShutdownReason.SUSPEND:
            raise internal_error(f"Cannot save VM {vm.id}: its guest has ended instead of suspending itself")


def refuse_hardware(domain: Domain) -> None:
    """A device of the host does not go into an image, nor does what its guest's device model knows of it.

    Errors: `Unimplemented`; `Internal_error`, it has USB devices, which can be unplugged.
    """
    if domain.is_hvm and domain.pcis:
        raise unimplemented("VM.suspend of an HVM guest that has PCI devices on classic")
    refuse_with_usbs(domain.vm.id, domain)
