"""Backend: Xen by libvirt, which calls libxl."""

from collections.abc import Callable, Sequence

from engine.absent import NoPcis, NoVgpus, NoVusbs
from engine.backend import Backend
from schema.fault import unimplemented
from schema.objects.dynamic import ObjectId
from typing_extensions import override

from worker_xen.libvirt.host import LibvirtHost
from worker_xen.libvirt.hypervisor import Hypervisor
from worker_xen.libvirt.vbds import LibvirtVbds
from worker_xen.libvirt.vifs import LibvirtVifs
from worker_xen.libvirt.vms import LibvirtVms


class Libvirt(Backend):
    """The `Backend` called `libvirt`."""

    name = "libvirt"

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self.host = LibvirtHost(hypervisor)
        self.vm = LibvirtVms(hypervisor)
        self.pci = NoPcis()
        self.vbd = LibvirtVbds(hypervisor)
        self.vif = LibvirtVifs(hypervisor)
        self.vgpu = NoVgpus()
        self.vusb = NoVusbs()

    @override
    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find the domains of a worker before us, and hear from all from now on."""
        self._hypervisor.start(on_change)

    @override
    def stop(self) -> None:
        """Hang up; the VMs run on."""
        self._hypervisor.stop()

    @override
    def trigger(self, command: str, arguments: Sequence[str]) -> None:
        """No trigger is known: on a real host things happen by themselves."""
        raise unimplemented(command)
