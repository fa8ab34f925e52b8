"""The verbs on USB devices, on libxl: an HVM guest's device model, which is root, opens and shows them.

Libxl has words of its own for them, but no answer to whether a device is still there, and after a rest none
for a controller that a guest goes on with: so QEMU is told itself, by its old monitor, the one libxl lends.
"""

from collections.abc import Mapping

from engine.hosted.usb import HeldUsb
from engine.hosted.usbfs import UsbDevice
from schema.fault import internal_error, unimplemented
from schema.objects.vm import Hvm
from typing_extensions import override

from worker_xen.usb import CONTROLLER, DEVICES, USB
from worker_xen.vusbs import DeviceModels, XenVusbs
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import Domain


class Shown(DeviceModels[Hypervisor]):
    """Libxl's: each is there as long as its domain."""

    @override
    def live(self, vm: str) -> int | None:
        domain = self._hypervisor.look(vm).domain
        return None if domain is None else domain.domid

    @override
    def running(self, vm: str) -> int:
        """Errors: `Does_not_exist`, `Domain_not_built`; `Unimplemented` for a guest without hardware."""
        domain, domid = self._hypervisor.running(vm)
        if not isinstance(domain.vm.ty, Hvm):
            raise unimplemented("VUSB.plug of a guest that is not HVM on xenlight")
        return domid

    @override
    def is_there(self, domid: int) -> bool:
        with spoken():
            return self._hypervisor.libxl.info(domid) is not None

    def told(self, domid: int, command: str) -> str:
        """What a device model says to a command. Errors: `Internal_error`."""
        with spoken():
            return self._hypervisor.libxl.monitor(domid, command)


class XenlightVusbs(XenVusbs[Shown]):
    """`VusbVerbs` on libxl."""

    @override
    def _has(self, live: int, name: str) -> bool:
        """It says `name (type)`, line by line."""
        said = self._hypervisor.told(live, f"qom-list {DEVICES}")
        return any(line.split(" ")[0] == name for line in said.splitlines())

    @override
    def _is_attached(self, live: int, held: HeldUsb) -> bool:
        return self._hypervisor.told(live, f"qom-get {DEVICES}/{held.device} attached") != "false"

    @override
    def _add(self, domain: Domain, live: int, held: HeldUsb, device: UsbDevice) -> None:
        if not self._has(live, USB):
            self._show(live, CONTROLLER)
        told = {"driver": "usb-host", "id": held.device, "bus": f"{USB}.0", "hostdevice": str(device.node)}
        self._show(live, told)

    @override
    def _remove(self, live: int, held: HeldUsb) -> None:
        self._hypervisor.told(live, f"device_del {held.device}")

    def _show(self, live: int, words: Mapping[str, object]) -> None:
        """Of what it does its old monitor says nothing. Errors: `Internal_error` with its words."""
        options = ",".join(f"{name}={value}" for name, value in words.items() if name != "driver")
        said = self._hypervisor.told(live, f"device_add {words['driver']},{options}")
        if said:
            raise internal_error(f"The device model cannot show a USB device: {said}")
