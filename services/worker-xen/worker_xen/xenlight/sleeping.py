"""Sleeping: an HVM guest is sent to sleep in its memory (ACPI S3) by its button, and woken, by libxl."""

from functools import partial

from engine.backend import Execution
from schema.fault import XenopsError, internal_error, unimplemented
from schema.objects.errors import FailedToAcknowledgeSuspendRequest
from schema.objects.vm import Hvm, Vm

from worker_xen import sleep
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.libxl import Libxl
from worker_xen.xenlight.machine import Domain


def refuse_asleep(hypervisor: Hypervisor, domain: Domain, domid: int) -> None:
    """Errors: `Internal_error` when its guest sleeps."""
    if isinstance(domain.vm.ty, Hvm) and _is_asleep(hypervisor.libxl, domid):
        raise sleep.unsaved(domain.vm.id)


def put_to_sleep(hypervisor: Hypervisor, vm: Vm, execution: Execution) -> None:
    """Press the guest's button, and wait until it sleeps; it sleeps, nothing to do.

    Errors: `Unimplemented` for a guest that is not HVM, or may get PCI devices of the host;
    `Failed_to_acknowledge_suspend_request` when it does not sleep in time; `Internal_error` when it cannot.
    """
    domain, domid = hypervisor.running(vm.id)
    if not isinstance(vm.ty, Hvm):
        raise unimplemented("VM.s3suspend of a guest that is not HVM on xenlight")
    if domain.gets_pcis:
        raise unimplemented("VM.s3suspend of a guest that may get PCI devices on xenlight")
    sleep.refuse_sleepless(domain.vm)
    if _is_asleep(hypervisor.libxl, domid):
        return
    info = hypervisor.info(domain)
    if info is None or info.paused:
        raise sleep.unrunning(vm.id)
    with spoken():
        hypervisor.libxl.trigger(domid, "SLEEP")
    if not sleep.comes(partial(_is_asleep, hypervisor.libxl, domid), execution, sleep.SLEEP_TIMEOUT_S):
        raise XenopsError(FailedToAcknowledgeSuspendRequest())


def wake(hypervisor: Hypervisor, vm: Vm, execution: Execution) -> None:
    """Wake the guest; it is awake, nothing to do. It is paused until its hardware is set up again.

    Errors: `Unimplemented` for a guest that is not HVM; `Internal_error` with libxl's words.
    """
    _, domid = hypervisor.running(vm.id)
    if not isinstance(vm.ty, Hvm):
        raise unimplemented("VM.s3resume of a guest that is not HVM on xenlight")
    libxl = hypervisor.libxl
    if not _is_asleep(libxl, domid):
        return
    with spoken():
        libxl.pause(domid)
    try:
        with spoken():
            libxl.trigger(domid, "S3RESUME")
        if not sleep.comes(lambda: not _is_asleep(libxl, domid), execution, sleep.WAKE_TIMEOUT_S):
            raise sleep.unwoken(vm.id)
        for command in sleep.setting_up():
            with spoken():
                said = libxl.monitor(domid, command)
            if said:
                raise internal_error(f"The device model of VM {vm.id} does not do {command!r}: {said}")
    finally:
        with spoken():
            libxl.unpause(domid)


def _is_asleep(libxl: Libxl, domid: int) -> bool:
    with spoken():
        return "suspended" in libxl.monitor(domid, "info status")
