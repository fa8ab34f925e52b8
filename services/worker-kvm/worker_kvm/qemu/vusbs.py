"""The verbs on USB devices, on QEMU: a device of the host by the port that it is plugged in at."""

import os
import threading
from contextlib import suppress

from engine.backend import Execution, VusbVerbs
from engine.holding import find
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.halted import UNPLUGGED_VUSB
from schema.objects.vusb import Vusb, VusbState
from typing_extensions import override

from worker_kvm.qemu.hostdevices import HeldUsb
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import DEVICES, Live
from worker_kvm.qemu.machine import Domain, Machine
from worker_kvm.qemu.passthrough import USB, usb_controller, usb_device, with_usb, without_usb
from worker_kvm.qemu.process import is_alive
from worker_kvm.usb import name_of
from worker_kvm.usbfs import UsbDevice, Usbfs

UNPLUG_TIMEOUT_S = 10.0
"""How long QEMU may take to let go of a device; the guest is not asked, as with a cable that is pulled."""


class QemuVusbs(VusbVerbs):
    """`VusbVerbs` on QEMU."""

    def __init__(self, hypervisor: Hypervisor, usb: Usbfs) -> None:
        self._hypervisor = hypervisor
        self._usb = usb
        self._sharing = threading.Lock()
        """Whoever decides which VM has which device holds it."""

    @override
    def get_state(self, vm: VmId, vusb: Vusb) -> VusbState:
        held, live = _held(self._hypervisor.look(vm), vusb), self._hypervisor.live(vm)
        return UNPLUGGED_VUSB if held is None or live is None else VusbState(plugged=_works(live, held))

    @override
    def plug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Give it to the guest; one that was pulled out of the host and is back, anew. Failed, it has it not.

        Errors: `Does_not_exist("domain", vm)`, `Domain_not_built`; those of `Usbfs.find`, `Usbfs.open` and
        `with_usb`; `Internal_error`.
        """
        execution.check_cancelled()
        live, held = self._hypervisor.running(vm), _held(self._hypervisor.look(vm), vusb)
        if held is not None:
            if _works(live, held):
                return
            self._take(vm, live, held)
        with self._sharing:
            others = self._hypervisor.machines()
            with_usb(self._hypervisor.look(vm), vusb, others)  # a VM that has it is named, not a program
            device = self._usb.find(vusb)
            machine = self._hypervisor.change(vm, lambda machine: with_usb(machine, vusb, others))
        held = _held(machine, vusb)
        if held is None or machine.domain is None:
            return
        try:
            self._give(live, machine.domain, held, device)
        except BaseException:
            with suppress(XenopsError):  # of a QEMU that does not answer the task's check takes it
                self._take(vm, live, held)
            raise

    @override
    def unplug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Take it away: for the guest it is pulled out. Errors: `Internal_error`."""
        held = _held(self._hypervisor.look(vm), vusb)
        if held is not None:
            self._take(vm, self._hypervisor.live(vm), held)

    @override
    def wants_unplug(self, vm: VmId, vusb: Vusb) -> bool:
        """Whether it was pulled out of the host."""
        held, live = _held(self._hypervisor.look(vm), vusb), self._hypervisor.live(vm)
        return held is not None and live is not None and not _works(live, held)

    def let_go(self, vm: str) -> None:
        """Give the host all that a VM has of it whose QEMU has ended."""
        domain = self._hypervisor.look(vm).domain
        for held in () if domain is None else domain.usbs:
            self._take(vm, None, held)

    def _give(self, live: Live, domain: Domain, held: HeldUsb, device: UsbDevice) -> None:
        if domain.usb_port is not None and not live.has_device(USB):
            live.do("device_add", usb_controller(domain.usb_port))
        descriptor = self._usb.open(device)
        try:
            path = live.lend(descriptor, held.device)
        finally:
            os.close(descriptor)
        live.do("device_add", usb_device(held, path))

    def _take(self, vm: str, live: Live | None, held: HeldUsb) -> None:
        if live is not None and is_alive(live.process):
            if not live.remove_device(held.device, UNPLUG_TIMEOUT_S):
                raise internal_error(
                    f"QEMU of VM {vm} did not let go of VUSB {held.id.device} within {UNPLUG_TIMEOUT_S:g} s: "
                    "try again, or shut the VM down"
                )
            live.forget(held.device)
        self._usb.give_back(name_of(held.vusb))
        self._hypervisor.change(vm, lambda machine: without_usb(machine, held))


def _held(machine: Machine, vusb: Vusb) -> HeldUsb | None:
    return None if machine.domain is None else find(machine.domain.usbs, vusb.id)


def _works(live: Live, held: HeldUsb) -> bool:
    """Whether the guest has it, and it is plugged in at the host; a QEMU that does not answer has it."""
    try:
        if not live.has_device(held.device):
            return False
        return bool(live.do("qom-get", {"path": f"{DEVICES}/{held.device}", "property": "attached"}))
    except XenopsError:
        return True
