"""The verbs on USB devices: an HVM guest's device model is lent a device's open file, and shows it."""

import os

from engine.hosted.usb import HeldUsb
from engine.hosted.usbfs import UsbDevice
from schema.fault import XenopsError, unimplemented
from schema.objects.errors import DomainNotBuilt
from typing_extensions import override

from worker_xen.classic.hvm.emulators import Emulators
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Domain
from worker_xen.usb import CONTROLLER, DEVICES, USB
from worker_xen.vusbs import DeviceModels, XenVusbs

FIRST_FILE = 100
"""Of the numbers by which a device model knows files; those of drives are below."""


class Shown(DeviceModels[Hypervisor]):
    """Ours, which run as nobody."""

    @property
    def emulators(self) -> Emulators:
        """The device models."""
        return self._hypervisor.emulators

    @override
    def live(self, vm: str) -> int | None:
        """None also where the domain is gone."""
        info = self._hypervisor.find(vm).info
        return info.domid if info is not None and self.is_there(info.domid) else None

    @override
    def running(self, vm: str) -> int:
        """Errors: `Does_not_exist`, `Domain_not_built`; `Unimplemented` for a guest without hardware."""
        domain, info = self._hypervisor.find(vm).built()
        if not domain.is_hvm:
            raise unimplemented("VUSB.plug of a guest that is not HVM on classic")
        if not self.is_there(info.domid):
            raise XenopsError(DomainNotBuilt())
        return info.domid

    @override
    def is_there(self, domid: int) -> bool:
        return self.emulators.is_there(domid)


class ClassicVusbs(XenVusbs[Shown]):
    """`VusbVerbs` on Xen by libxc."""

    @override
    def _has(self, live: int, name: str) -> bool:
        return self._hypervisor.emulators.has_device(live, name)

    @override
    def _is_attached(self, live: int, held: HeldUsb) -> bool:
        told = {"path": f"{DEVICES}/{held.device}", "property": "attached"}
        return bool(self._hypervisor.emulators.do(live, "qom-get", told))

    @override
    def _add(self, domain: Domain, live: int, held: HeldUsb, device: UsbDevice) -> None:
        emulators = self._hypervisor.emulators
        if not self._has(live, USB):
            emulators.do(live, "device_add", CONTROLLER)
        told = {"driver": "usb-host", "id": held.device, "bus": f"{USB}.0"}
        descriptor = self._usb.open(device)
        try:
            emulators.lend_usb(live, FIRST_FILE + held.number, descriptor, told)
        finally:
            os.close(descriptor)

    @override
    def _remove(self, live: int, held: HeldUsb) -> None:
        self._hypervisor.emulators.do(live, "device_del", {"id": held.device})

    @override
    def _is_gone(self, live: int, held: HeldUsb, timeout_s: float) -> bool:
        is_gone = super()._is_gone(live, held, timeout_s)
        if is_gone:
            self._hypervisor.emulators.take_back(live, FIRST_FILE + held.number)
        return is_gone
