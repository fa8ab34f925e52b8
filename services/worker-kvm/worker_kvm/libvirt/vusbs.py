"""USB devices of the host, by libvirt: it lets QEMU open a device's file."""

from contextlib import suppress
from typing import Any

from engine.hosted.usb import HeldUsb
from engine.hosted.usbfs import UsbDevice
from engine.hosted.vusbs import HostedVusbs
from schema.fault import XenopsError, internal_error
from typing_extensions import override

from worker_kvm.libvirt.document import USB_CONTROLLER, usb_node
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.passthrough import Domain


class LibvirtVusbs(HostedVusbs[Hypervisor, Live]):
    """`VusbVerbs` on libvirt, which calls a device by its bus and its number there."""

    @override
    def _is_there(self, live: Live) -> bool:
        """Also one whose guest has ended, as long as libvirt keeps that."""
        return not live.is_over

    @override
    def _works(self, live: Live, held: HeldUsb) -> bool:
        """Libvirt does not see that a device is pulled out; the host's kernel does."""
        has = True
        with suppress(XenopsError):
            has = self._hypervisor.has_device(live.uuid, held.alias)
        return has and self._usb.is_there(held.vusb, held.node)

    @override
    def _noting(self, machine: Any) -> Any:
        return machine

    @override
    def _add(self, domain: Domain, live: Live, held: HeldUsb, device: UsbDevice) -> None:
        """Libvirt gives no machine a controller while it runs: those of workers before have none."""
        if self._hypervisor.devices(live.uuid).find(USB_CONTROLLER) is None:
            raise internal_error(
                f"VM {domain.vm.id} was started without a USB controller: shut it down and start it to give "
                f"it USB device {device.name}"
            )
        self._hypervisor.attach(live.uuid, usb_node(held, device))

    @override
    def _is_gone(self, live: Live, held: HeldUsb, timeout_s: float) -> bool:
        return self._hypervisor.detach(live, held.alias, timeout_s)
