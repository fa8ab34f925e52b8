"""USB devices of the host, by QEMU itself: it is lent a device's open file."""

import os
from typing import Any

from engine.hosted.usb import HeldUsb
from engine.hosted.usbfs import UsbDevice
from engine.hosted.vusbs import HostedVusbs
from schema.fault import XenopsError
from typing_extensions import override

from worker_kvm.passthrough import Domain, with_usb_port
from worker_kvm.qemu.devices import USB, usb_controller, usb_device
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import DEVICES, Live
from worker_kvm.qemu.process import is_alive


class QemuVusbs(HostedVusbs[Hypervisor, Live]):
    """`VusbVerbs` on QEMU."""

    @override
    def _is_there(self, live: Live) -> bool:
        return is_alive(live.process)

    @override
    def _works(self, live: Live, held: HeldUsb) -> bool:
        try:
            if not live.has_device(held.device):
                return False
            return bool(live.do("qom-get", {"path": f"{DEVICES}/{held.device}", "property": "attached"}))
        except XenopsError:
            return True

    @override
    def _noting(self, machine: Any) -> Any:
        """A port for the controller, which comes with the first device."""
        return with_usb_port(machine)

    @override
    def _add(self, domain: Domain, live: Live, held: HeldUsb, device: UsbDevice) -> None:
        if domain.usb_port is not None and not live.has_device(USB):
            live.do("device_add", usb_controller(domain.usb_port, domain.kind))
        descriptor = self._usb.open(device)
        try:
            path = live.lend(descriptor, held.device)
        finally:
            os.close(descriptor)
        live.do("device_add", usb_device(held, path))

    @override
    def _is_gone(self, live: Live, held: HeldUsb, timeout_s: float) -> bool:
        is_gone = live.remove_device(held.device, timeout_s)
        if is_gone:
            live.forget(held.device)
        return is_gone
