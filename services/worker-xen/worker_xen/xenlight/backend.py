"""Backend: Xen by libxl, the library of its own toolstack."""

from engine.hosted.backend import HostedBackend

from worker_xen.xenlight.host import XenlightHost
from worker_xen.xenlight.hypervisor import Hypervisor, XenlightSettings
from worker_xen.xenlight.pcis import XenlightPcis
from worker_xen.xenlight.vbds import XenlightVbds
from worker_xen.xenlight.vifs import XenlightVifs
from worker_xen.xenlight.vms import XenlightVms
from worker_xen.xenlight.vusbs import Shown, XenlightVusbs


class Xenlight(HostedBackend[Hypervisor]):
    """The `Backend` called `xenlight`."""

    name = "xenlight"

    def __init__(self, settings: XenlightSettings) -> None:
        """Take the run directory. Errors: `BindingError`, `LibxlError`, `RunDirectoryInUseError`."""
        hypervisor = Hypervisor(settings)
        super().__init__(hypervisor)
        self.host = XenlightHost(hypervisor)
        self.vm = XenlightVms(hypervisor)
        self.pci = XenlightPcis(hypervisor)
        self.vusb = XenlightVusbs(Shown(hypervisor), hypervisor.usb)
        self.vbd = XenlightVbds(hypervisor, hypervisor.content)
        self.vif = XenlightVifs(hypervisor)
