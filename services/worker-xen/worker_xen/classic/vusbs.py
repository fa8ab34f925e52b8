"""The verbs on USB devices: an HVM guest's device model is lent a device's open file, and shows it."""

import os
import time
from collections.abc import Sequence
from typing import Any

from engine.hosted.usb import HeldUsb
from engine.hosted.usbfs import UsbDevice
from engine.hosted.vusbs import Emulating, HostedVusbs
from schema.fault import XenopsError, unimplemented
from schema.objects.errors import DomainNotBuilt
from typing_extensions import override

from worker_xen.classic.hvm.emulators import Emulators
from worker_xen.classic.hypervisor import Change, Hypervisor
from worker_xen.classic.machine import Domain, Machine
from worker_xen.usb import CONTROLLER, DEVICES, USB

FIRST_FILE = 100
"""Of the numbers by which a device model knows files; those of drives are below."""

_POLL_S = 0.05
"""No event tells for sure that a device is gone: one that was sent while nobody listened is lost."""


class Shown(Emulating[int]):
    """The domains of this host by whose device models there are, each by its domain's number."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @property
    def emulators(self) -> Emulators:
        """The device models."""
        return self._hypervisor.emulators

    @override
    def look(self, vm: str) -> Machine:
        return self._hypervisor.look(vm)

    @override
    def noted(self, vm: str) -> Machine:
        return self._hypervisor.noted(vm)

    @override
    def change(self, vm: str, change: Change) -> Machine:
        return self._hypervisor.change(vm, change)

    @override
    def machines(self) -> Sequence[Machine]:
        return self._hypervisor.machines()

    @override
    def live(self, vm: str) -> int | None:
        """None also where the domain is gone."""
        info = self._hypervisor.find(vm).info
        return info.domid if info is not None and self.emulators.is_there(info.domid) else None

    @override
    def running(self, vm: str) -> int:
        """Errors: `Does_not_exist`, `Domain_not_built`; `Unimplemented` for a guest without hardware."""
        domain, info = self._hypervisor.find(vm).built()
        if not domain.is_hvm:
            raise unimplemented("VUSB.plug of a guest that is not HVM on classic")
        if not self.emulators.is_there(info.domid):
            raise XenopsError(DomainNotBuilt())
        return info.domid


class ClassicVusbs(HostedVusbs[Shown, int]):
    """`VusbVerbs` on Xen by libxc."""

    @override
    def _is_there(self, live: int) -> bool:
        return self._hypervisor.emulators.is_there(live)

    @override
    def _works(self, live: int, held: HeldUsb) -> bool:
        emulators, path = self._hypervisor.emulators, f"{DEVICES}/{held.device}"
        try:
            if not emulators.has_device(live, held.device):
                return False
            return bool(emulators.do(live, "qom-get", {"path": path, "property": "attached"}))
        except XenopsError:
            return True

    @override
    def _noting(self, machine: Any) -> Any:
        """The controller comes with the first device, and is there ever after."""
        return machine.with_domain(has_usb=True)

    @override
    def _add(self, domain: Domain, live: int, held: HeldUsb, device: UsbDevice) -> None:
        emulators = self._hypervisor.emulators
        if not emulators.has_device(live, USB):
            emulators.do(live, "device_add", CONTROLLER)
        told = {"driver": "usb-host", "id": held.device, "bus": f"{USB}.0"}
        descriptor = self._usb.open(device)
        try:
            emulators.lend_usb(live, FIRST_FILE + held.number, descriptor, told)
        finally:
            os.close(descriptor)

    @override
    def _is_gone(self, live: int, held: HeldUsb, timeout_s: float) -> bool:
        emulators, end = self._hypervisor.emulators, time.monotonic() + timeout_s
        if emulators.has_device(live, held.device):
            emulators.do(live, "device_del", {"id": held.device})
        while emulators.has_device(live, held.device):
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        emulators.take_back(live, FIRST_FILE + held.number)
        return True
