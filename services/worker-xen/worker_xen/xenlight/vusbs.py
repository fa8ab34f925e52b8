"""The verbs on USB devices, on libxl: an HVM guest's device model, which is root, opens and shows them.

Libxl has words of its own for them, but no answer to whether a device is still there, and after a rest none
for a controller that a guest goes on with: so QEMU is told itself, by its old monitor, the one libxl lends.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from engine.hosted.usb import HeldUsb
from engine.hosted.usbfs import UsbDevice
from engine.hosted.vusbs import Emulating, HostedVusbs
from schema.fault import XenopsError, internal_error, unimplemented
from schema.objects.vm import Hvm
from typing_extensions import override

from worker_xen.gathered.domains import Change
from worker_xen.usb import CONTROLLER, DEVICES, USB
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import Domain, Machine

_POLL_S = 0.05
"""No event tells for sure that a device is gone."""


class Shown(Emulating[int]):
    """The domains of this host by whose device models there are, each by its domain's number."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

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
        domain = self._hypervisor.look(vm).domain
        return None if domain is None else domain.domid

    @override
    def running(self, vm: str) -> int:
        """Errors: `Does_not_exist`, `Domain_not_built`; `Unimplemented` for a guest without hardware."""
        domain, domid = self._hypervisor.running(vm)
        if not isinstance(domain.vm.ty, Hvm):
            raise unimplemented("VUSB.plug of a guest that is not HVM on xenlight")
        return domid

    def told(self, domid: int, command: str) -> str:
        """What a device model says to a command. Errors: `Internal_error`."""
        with spoken():
            return self._hypervisor.libxl.monitor(domid, command)

    def is_there(self, domid: int) -> bool:
        """Whether there is still a domain of that number."""
        with spoken():
            return self._hypervisor.libxl.info(domid) is not None


class XenlightVusbs(HostedVusbs[Shown, int]):
    """`VusbVerbs` on libxl."""

    @override
    def _is_there(self, live: int) -> bool:
        return self._hypervisor.is_there(live)

    @override
    def _works(self, live: int, held: HeldUsb) -> bool:
        try:
            if not self._has(live, held.device):
                return False
            return self._hypervisor.told(live, f"qom-get {DEVICES}/{held.device} attached") != "false"
        except XenopsError:
            return True

    @override
    def _noting(self, machine: Any) -> Any:
        """The controller comes with the first device, and is there ever after."""
        return machine.with_domain(has_usb=True)

    @override
    def _add(self, domain: Domain, live: int, held: HeldUsb, device: UsbDevice) -> None:
        if not self._has(live, USB):
            self._do(live, "device_add", CONTROLLER)
        shown = {"driver": "usb-host", "id": held.device, "bus": f"{USB}.0", "hostdevice": str(device.node)}
        self._do(live, "device_add", shown)

    @override
    def _is_gone(self, live: int, held: HeldUsb, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        if self._has(live, held.device):
            self._hypervisor.told(live, f"device_del {held.device}")
        while self._has(live, held.device):
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        return True

    def _has(self, live: int, name: str) -> bool:
        """Whether the device model has what was added by a name: it says `name (type)`, line by line."""
        said = self._hypervisor.told(live, f"qom-list {DEVICES}")
        return any(line.split(" ")[0] == name for line in said.splitlines())

    def _do(self, live: int, command: str, words: Mapping[str, object]) -> None:
        """Of what it does its old monitor says nothing. Errors: `Internal_error` with its words."""
        options = ",".join(f"{name}={value}" for name, value in words.items() if name != "driver")
        said = self._hypervisor.told(live, f"{command} {words['driver']},{options}")
        if said:
            raise internal_error(f"The device model cannot show a USB device: {said}")
