"""Backend: KVM by libvirt, which runs QEMU."""

from engine.hosted.backend import HostedBackend
from engine.hosted.usbfs import Usbfs

from worker_kvm.libvirt.host import LibvirtHost
from worker_kvm.libvirt.hypervisor import Hypervisor, LibvirtSettings
from worker_kvm.libvirt.pcis import LibvirtPcis
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
