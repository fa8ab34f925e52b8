"""The verbs on USB devices: one of the host, by the port that it is plugged in at, is a guest's, and back."""

import threading
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.halted import UNPLUGGED_VUSB
from schema.objects.vusb import Vusb, VusbState
from typing_extensions import override

from engine.backend import Execution, VusbVerbs
from engine.holding import find
from engine.hosted.machine import HostedMachine
from engine.hosted.notes import Notes
from engine.hosted.usb import HeldUsb, name_of, refuse_usb, with_usb, without_usb
from engine.hosted.usbfs import UsbDevice, Usbfs

UNPLUG_TIMEOUT_S = 10.0
"""How long QEMU may take to let go of a device; the guest is not asked, as with a cable that is pulled."""


LiveT = TypeVar("LiveT")
LiveT_co = TypeVar("LiveT_co", covariant=True)


class Emulating(Notes[Any], Protocol[LiveT_co]):
    """The VMs of this host, and the QEMUs that show them hardware."""

    def machines(self) -> Sequence[Any]:
        """All VMs of whom something is known."""

    def live(self, vm: str) -> LiveT_co | None:
        """A VM's QEMU; None when there is none."""

    def running(self, vm: str) -> LiveT_co:
        """A VM's QEMU. Errors: `Does_not_exist`, `Domain_not_built`; `Unimplemented`, it can have none."""


EmulatingT = TypeVar("EmulatingT", bound=Emulating[Any])


class HostedVusbs(VusbVerbs, Generic[EmulatingT, LiveT]):
    """`VusbVerbs` but for how a QEMU gets a device, and loses it."""

    def __init__(self, hypervisor: EmulatingT, usb: Usbfs) -> None:
        self._hypervisor = hypervisor
        self._usb = usb
        self._sharing = threading.Lock()
        """Whoever decides which VM has which device holds it."""

    @abstractmethod
    def _is_there(self, live: LiveT) -> bool:
        """Whether there is still a QEMU, which may use devices."""

    @abstractmethod
    def _works(self, live: LiveT, held: HeldUsb) -> bool:
        """Whether the guest has it, and it is plugged in at the host; one of whom nobody knows has it."""

    @abstractmethod
    def _noting(self, machine: Any) -> Any:
        """What is noted besides, before a machine gets a device. Errors: `Internal_error`."""

    @abstractmethod
    def _add(self, domain: Any, live: LiveT, held: HeldUsb, device: UsbDevice) -> None:
        """Give the guest a device. Errors: `Internal_error`."""

    @abstractmethod
    def _is_gone(self, live: LiveT, held: HeldUsb, timeout_s: float) -> bool:
        """Take a device from the guest; answers whether it is gone in time."""

    @override
    def get_state(self, vm: VmId, vusb: Vusb) -> VusbState:
        held, live = _held(self._hypervisor.look(vm), vusb), self._hypervisor.live(vm)
        return UNPLUGGED_VUSB if held is None or live is None else VusbState(plugged=self._works(live, held))

    @override
    def plug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Give it to the guest; one that was pulled out of the host and is back, anew. Failed, it has it not.

        Errors: `Does_not_exist("domain", vm)`, `Domain_not_built`; those of `Usbfs.find`, `Usbfs.open` and
        `with_usb`; `Internal_error`.
        """
        execution.check_cancelled()
        live: LiveT = self._hypervisor.running(vm)
        held = _held(self._hypervisor.look(vm), vusb)
        if held is not None:
            if self._works(live, held):
                return
            self._take(vm, live, held)
        with self._sharing:
            others = self._hypervisor.machines()
            refuse_usb(self._hypervisor.look(vm), vusb, others)  # a VM that has it is named, not a program
            device = self._usb.find(vusb)
            machine = self._hypervisor.change(
                vm, lambda machine: with_usb(self._noting(machine), vusb, str(device.node), others)
            )
        held = _held(machine, vusb)
        if held is None:
            return
        try:
            self._add(machine.living(), live, held, device)
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
        return held is not None and live is not None and not self._works(live, held)

    def let_go(self, vm: str) -> None:
        """Give the host all that a VM has of it whose QEMU has ended."""
        domain = self._hypervisor.noted(vm).domain
        for held in () if domain is None else domain.usbs:
            self._take(vm, None, held)

    def _take(self, vm: str, live: LiveT | None, held: HeldUsb) -> None:
        if live is not None and self._is_there(live) and not self._is_gone(live, held, UNPLUG_TIMEOUT_S):
            raise internal_error(
                f"QEMU of VM {vm} did not let go of VUSB {held.id.device} within {UNPLUG_TIMEOUT_S:g} s: "
                "try again, or shut the VM down"
            )
        self._usb.give_back(name_of(held.vusb))
        self._hypervisor.change(vm, lambda machine: without_usb(machine, held))


def _held(machine: HostedMachine[Any, Any, Any], vusb: Vusb) -> HeldUsb | None:
    held: tuple[HeldUsb, ...] = () if machine.domain is None else machine.domain.usbs
    return find(held, vusb.id)
