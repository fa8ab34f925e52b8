"""Backend: Xen by libxl, the library of its own toolstack."""

from collections.abc import Callable, Sequence

from engine.absent import NoVgpus, NoVusbs
from engine.backend import Backend
from schema.fault import unimplemented
from schema.objects.dynamic import ObjectId
from typing_extensions import override

from worker_xen.xenlight.host import XenlightHost
from worker_xen.xenlight.hypervisor import Hypervisor, XenlightSettings
from worker_xen.xenlight.pcis import XenlightPcis
from worker_xen.xenlight.vbds import XenlightVbds
from worker_xen.xenlight.vifs import XenlightVifs
from worker_xen.xenlight.vms import XenlightVms


class Xenlight(Backend):
    """The `Backend` called `xenlight`."""

    name = "xenlight"

    def __init__(self, settings: XenlightSettings) -> None:
        """Take the run directory. Errors: `BindingError`, `LibxlError`, `RunDirectoryInUseError`."""
        self._hypervisor = Hypervisor(settings)
        self.host = XenlightHost(self._hypervisor)
        self.vm = XenlightVms(self._hypervisor)
        self.pci = XenlightPcis(self._hypervisor)
        self.vbd = XenlightVbds(self._hypervisor)
        self.vif = XenlightVifs(self._hypervisor)
        self.vgpu = NoVgpus()
        self.vusb = NoVusbs()

    @override
    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find the domains of a worker before us, and hear from all from now on."""
        self._hypervisor.start(on_change)

    @override
    def stop(self) -> None:
        """Hear no more; VMs run on."""
        self._hypervisor.stop()

    @override
    def trigger(self, command: str, arguments: Sequence[str]) -> None:
        """No trigger is known: on a real host things happen by themselves."""
        raise unimplemented(command)
