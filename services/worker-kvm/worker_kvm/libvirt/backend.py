"""Backend: KVM by libvirt, which runs QEMU."""

from collections.abc import Callable

from engine.hosted.backend import HostedBackend
from engine.hosted.usbfs import Usbfs
from schema.objects.dynamic import ObjectId
from typing_extensions import override

from worker_kvm.libvirt.host import LibvirtHost
from worker_kvm.libvirt.hypervisor import Hypervisor, LibvirtSettings
from worker_kvm.libvirt.pcis import LibvirtPcis
from worker_kvm.libvirt.suspend import bring_back_unfiled
from worker_kvm.libvirt.vbds import LibvirtVbds
from worker_kvm.libvirt.vifs import LibvirtVifs
from worker_kvm.libvirt.vms import LibvirtVms
from worker_kvm.libvirt.vusbs import LibvirtVusbs
from worker_kvm.qemu.content import OVERLAYS, OverlaidContent
from worker_kvm.vfio import Vfio


class Libvirt(HostedBackend[Hypervisor]):
    """The `Backend` called `libvirt`."""

    name = "libvirt"

    def __init__(self, settings: LibvirtSettings) -> None:
        """Take the run directory, and reach libvirt.

        Errors: `RunDirectoryInUseError`, `XenopsError`, `VirtGoneError`.
        """
        hypervisor = Hypervisor(settings)
        super().__init__(hypervisor)
        self.host = LibvirtHost(hypervisor)
        self.vbd = LibvirtVbds(hypervisor, OverlaidContent(settings.run / OVERLAYS, settings.storage))
        self.vif = LibvirtVifs(hypervisor)
        self.pci = pcis = LibvirtPcis(hypervisor, Vfio())
        self.vusb = vusbs = LibvirtVusbs(hypervisor, Usbfs())
        self.vm = LibvirtVms(hypervisor, self.vif.plug, (pcis.let_go, vusbs.let_go))

    @override
    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Beside what every backend does: who was not wholly suspended goes on."""
        super().start(on_change)
        bring_back_unfiled(self._hypervisor)
