"""Backend: Xen by libvirt, which calls libxl."""

from engine.hosted.backend import HostedBackend

from worker_xen.libvirt.host import LibvirtHost
from worker_xen.libvirt.hypervisor import Hypervisor
from worker_xen.libvirt.vbds import LibvirtVbds
from worker_xen.libvirt.vifs import LibvirtVifs
from worker_xen.libvirt.vms import LibvirtVms


class Libvirt(HostedBackend[Hypervisor]):
    """The `Backend` called `libvirt`."""

    name = "libvirt"

    def __init__(self, hypervisor: Hypervisor) -> None:
        super().__init__(hypervisor)
        self.host = LibvirtHost(hypervisor)
        self.vm = LibvirtVms(hypervisor)
        self.vbd = LibvirtVbds(hypervisor, hypervisor.content)
        self.vif = LibvirtVifs(hypervisor)
