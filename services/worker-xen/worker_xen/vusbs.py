"""The verbs on USB devices of HVM guests, but for how one speaks with a device model, here by its domain."""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from engine.hosted.notes import Notes
from engine.hosted.usb import HeldUsb
from engine.hosted.vusbs import Emulating, HostedVusbs
from schema.fault import XenopsError
from typing_extensions import override

_POLL_S = 0.05
"""No event tells for sure that a device is gone: one that was sent while nobody listened is lost."""


class Hosting(Notes[Any], Protocol):
    """A hypervisor that notes its VMs, and says which."""

    def machines(self) -> Sequence[Any]:
        """All VMs of whom something is known."""


HostingT = TypeVar("HostingT", bound=Hosting)


class DeviceModels(Emulating[int], Generic[HostingT]):
    """The domains of this host by whose device models there are, each by its domain's number."""

    def __init__(self, hypervisor: HostingT) -> None:
        self._hypervisor = hypervisor

    @override
    def look(self, vm: str) -> Any:
        return self._hypervisor.look(vm)

    @override
    def noted(self, vm: str) -> Any:
        return self._hypervisor.noted(vm)

    @override
    def change(self, vm: str, change: Callable[[Any], Any]) -> Any:
        return self._hypervisor.change(vm, change)

    @override
    def machines(self) -> Sequence[Any]:
        return self._hypervisor.machines()

    @abstractmethod
    def is_there(self, domid: int) -> bool:
        """Whether there still is one of that number."""


DeviceModelsT = TypeVar("DeviceModelsT", bound=DeviceModels[Any])


class XenVusbs(HostedVusbs[DeviceModelsT, int]):
    """`VusbVerbs` on Xen."""

    @abstractmethod
    def _has(self, live: int, name: str) -> bool:
        """Whether a device model has what was added by a name. Errors: `Internal_error`."""

    @abstractmethod
    def _is_attached(self, live: int, held: HeldUsb) -> bool:
        """Whether a device that it has is plugged in at the host. Errors: `Internal_error`."""

    @abstractmethod
    def _remove(self, live: int, held: HeldUsb) -> None:
        """Have it pulled out. Errors: `Internal_error`."""

    @override
    def _is_there(self, live: int) -> bool:
        return self._hypervisor.is_there(live)

    @override
    def _works(self, live: int, held: HeldUsb) -> bool:
        try:
            return self._has(live, held.device) and self._is_attached(live, held)
        except XenopsError:
            return True

    @override
    def _noting(self, machine: Any) -> Any:
        """The controller comes with the first device, and is there ever after."""
        return machine.with_domain(has_usb=True)

    @override
    def _is_gone(self, live: int, held: HeldUsb, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        if self._has(live, held.device):
            self._remove(live, held)
        while self._has(live, held.device):
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        return True
