"""Backend: KVM by libvirt, which runs QEMU."""

from collections.abc import Callable, Sequence

from engine.absent import NoPcis, NoVgpus, NoVusbs
from engine.backend import Backend
from schema.fault import unimplemented
from schema.objects.dynamic import ObjectId
from typing_extensions import override

from worker_kvm.libvirt.host import LibvirtHost
from worker_kvm.libvirt.hypervisor import Hypervisor, LibvirtSettings
from worker_kvm.libvirt.vbds import LibvirtVbds
from worker_kvm.libvirt.vifs import LibvirtVifs
from worker_kvm.libvirt.vms import LibvirtVms
from worker_kvm.qemu.content import Content


class Libvirt(Backend):
    """The `Backend` called `libvirt`."""

    name = "libvirt"

    def __init__(self, settings: LibvirtSettings) -> None:
        """Take the run directory, and reach libvirt.

        Errors: `RunDirectoryInUseError`, `XenopsError`, `VirtGoneError`.
        """
        self._hypervisor = Hypervisor(settings)
        self.host = LibvirtHost(self._hypervisor)
        self.vm = LibvirtVms(self._hypervisor)
        self.pci = NoPcis()
        self.vbd = LibvirtVbds(self._hypervisor, Content(settings.run / "overlays", settings.storage))
        self.vif = LibvirtVifs(self._hypervisor)
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
