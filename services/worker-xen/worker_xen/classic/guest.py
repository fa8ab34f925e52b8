"""Guest: what a guest is asked through xenstore, whether it has heard, and whether it has stopped."""

from engine.backend import Execution
from schema.atomics.vm import ShutdownRequest

from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.libxc.values import ShutdownReason
from worker_xen.xenstore.tree import Node, domain_path, owned_by

_WORDS = {
    ShutdownRequest.HALT: "halt",
    ShutdownRequest.POWER_OFF: "poweroff",
    ShutdownRequest.REBOOT: "reboot",
    ShutdownRequest.SUSPEND: "suspend",
    ShutdownRequest.S3_SUSPEND: "s3",
}
"""Xen's words for it, as guests know them."""

_STOPS = "@releaseDomain"


class Guest:
    """Guests of this host; safe for any thread."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    def ask(self, vm: str, request: ShutdownRequest, timeout_s: float, execution: Execution | None) -> bool:
        """Ask; answers whether the guest took the request in time. One that it did not take is withdrawn.

        One that is paused cannot answer. An HVM guest that has no drivers of Xen's hears of ACPI's
        buttons only, and whether it listens nobody knows; it need not take part in being suspended.
        Errors: `Does_not_exist("domain", vm)`.
        """
        domain, info = self._hypervisor.find(vm).living()
        if info.is_paused or info.stopped is not None:
            return info.stopped is not None
        if domain.is_hvm and not self._has_drivers(vm, info.domid):
            return self._press(vm, info.domid, request)
        node = f"{domain_path(info.domid)}/control/shutdown"
        store = self._hypervisor.store
        store.write([Node(node, _WORDS[request], owned_by(info.domid))])

        def taken() -> bool | None:
            return True if not store.read(node) or self._is_stopped(vm) else None

        try:
            answer = store.await_change([node, _STOPS], taken, timeout_s, execution)
        except BaseException:
            store.write([Node(node)])
            raise
        if answer is None:
            store.write([Node(node)])
        return answer is True

    def wait_stopped(self, vm: str, timeout_s: float, execution: Execution | None) -> bool:
        """Wait until the guest has stopped, or its domain is gone; answers whether it has in time."""

        def stopped() -> bool | None:
            return True if self._is_stopped(vm) else None

        return self._hypervisor.store.await_change([_STOPS], stopped, timeout_s, execution) is True

    def _has_drivers(self, vm: str, domid: int) -> bool:
        with self._hypervisor.told(vm):
            return self._hypervisor.xen.has_drivers(domid)

    def _press(self, vm: str, domid: int, request: ShutdownRequest) -> bool:
        with self._hypervisor.told(vm):
            match request:
                case ShutdownRequest.HALT | ShutdownRequest.POWER_OFF:
                    self._hypervisor.xen.press_power(domid)
                case ShutdownRequest.S3_SUSPEND:
                    self._hypervisor.xen.press_sleep(domid)
                case ShutdownRequest.SUSPEND:
                    self._hypervisor.xen.shut_down(domid, ShutdownReason.SUSPEND)
                case _:
                    return False
        return True

    def _is_stopped(self, vm: str) -> bool:
        info = self._hypervisor.find(vm).info
        return info is None or info.stopped is not None
