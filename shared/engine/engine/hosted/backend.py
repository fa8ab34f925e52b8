"""Hosted: a backend on a real host, where things happen by themselves and its hypervisor hears of them."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from schema.fault import unimplemented
from schema.objects.dynamic import ObjectId
from typing_extensions import override

from engine.backend import Backend, PciVerbs, VusbVerbs
from engine.hosted.absent import NoPcis, NoVgpus, NoVusbs


class Hearing(Protocol):
    """What hears of the host's VMs."""

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """As `Backend.start`."""

    def stop(self) -> None:
        """As `Backend.stop`."""


Hypervisor = TypeVar("Hypervisor", bound=Hearing)


class HostedBackend(Backend, Generic[Hypervisor]):
    """`Backend` but for its verbs; it has no PCI devices, virtual GPUs and USB devices, unless it says so."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self.pci: PciVerbs = NoPcis()
        self.vgpu = NoVgpus()
        self.vusb: VusbVerbs = NoVusbs()

    @override
    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find the domains of a worker before us, and hear from all from now on."""
        self._hypervisor.start(on_change)

    @override
    def stop(self) -> None:
        """Hear no more; the VMs run on."""
        self._hypervisor.stop()

    @override
    def trigger(self, command: str, arguments: Sequence[str]) -> None:
        """No trigger is known: on a real host things happen by themselves."""
        raise unimplemented(command)
