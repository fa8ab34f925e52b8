"""Sleeping: an HVM guest is sent to sleep in its memory (ACPI S3), and woken by its device model.

A device model that is restricted sees that its guest sleeps, and may tell the hypervisor neither this nor
that it wakes: so we do. Both verbs may be broken off anywhere by a worker's death, and are then done again.
"""

from functools import partial

from engine.backend import Execution
from schema.atomics.vm import ShutdownRequest
from schema.fault import XenopsError, internal_error, unimplemented
from schema.objects.errors import FailedToAcknowledgeSuspendRequest
from schema.objects.vm import Vm

from worker_xen import sleep
from worker_xen.classic.guest import Guest
from worker_xen.classic.hvm.emulators import Emulators
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Domain


def refuse_asleep(hypervisor: Hypervisor, domain: Domain, domid: int) -> None:
    """Errors: `Internal_error` when its guest sleeps."""
    if domain.is_hvm and _is_asleep(hypervisor, domain, domid):
        raise sleep.unsaved(domain.vm.id)


def put_to_sleep(hypervisor: Hypervisor, guest: Guest, vm: Vm, execution: Execution) -> None:
    """Ask the guest to sleep, and wait until it does; it sleeps, nothing to do.

    One with drivers of Xen's is asked through xenstore, as in the original; any other by its sleep button.

    Errors: `Unimplemented` for a guest that is not HVM, or may get PCI devices of the host;
    `Failed_to_acknowledge_suspend_request` when it does not sleep in time; `Internal_error` when it cannot.
    """
    domain, info = hypervisor.find(vm.id).built()
    if not domain.is_hvm:
        raise unimplemented("VM.s3suspend of a guest that is not HVM on classic")
    if domain.gets_pcis:
        raise unimplemented("VM.s3suspend of a guest that may get PCI devices on classic")
    sleep.refuse_sleepless(domain.vm)
    if not _is_asleep(hypervisor, domain, info.domid):
        if info.is_paused:
            raise sleep.unrunning(vm.id)
        sleeps = partial(_model_sleeps, hypervisor.emulators, info.domid)
        has_heard = guest.ask(vm.id, ShutdownRequest.S3_SUSPEND, sleep.SLEEP_TIMEOUT_S, execution)
        if not has_heard or not sleep.comes(sleeps, execution, sleep.SLEEP_TIMEOUT_S):
            raise XenopsError(FailedToAcknowledgeSuspendRequest())
    with hypervisor.told(vm.id):
        hypervisor.xen.set_asleep(info.domid, asleep=True)


def wake(hypervisor: Hypervisor, vm: Vm, execution: Execution) -> None:
    """Wake the guest; it is awake, nothing to do.

    Errors: `Unimplemented` for a guest that is not HVM; `Internal_error` with QEMU's words.
    """
    domain, info = hypervisor.find(vm.id).built()
    if not domain.is_hvm:
        raise unimplemented("VM.s3resume of a guest that is not HVM on classic")
    if not _is_asleep(hypervisor, domain, info.domid):
        return
    emulators, domid = hypervisor.emulators, info.domid
    with hypervisor.told(vm.id):
        hypervisor.xen.set_asleep(domid, asleep=True)  # one that went by itself: nobody has told so yet
        if _model_sleeps(emulators, domid):
            emulators.do(domid, "system_wakeup")
            if not sleep.comes(lambda: not _model_sleeps(emulators, domid), execution, sleep.WAKE_TIMEOUT_S):
                raise sleep.unwoken(vm.id)
        for command in sleep.setting_up():
            said = emulators.do(domid, "human-monitor-command", {"command-line": command})
            if said:
                raise internal_error(f"The device model of VM {vm.id} does not do {command!r}: {said}")
        hypervisor.xen.set_asleep(domid, asleep=False)


def _is_asleep(hypervisor: Hypervisor, domain: Domain, domid: int) -> bool:
    """By the hypervisor, or by the device model of a guest that went to sleep by itself."""
    with hypervisor.told(domain.vm.id):
        return hypervisor.xen.is_asleep(domid) or _model_sleeps(hypervisor.emulators, domid)


def _model_sleeps(emulators: Emulators, domid: int) -> bool:
    return emulators.is_there(domid) and bool(emulators.do(domid, "query-status")["status"] == "suspended")
