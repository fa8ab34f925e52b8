"""Backend: Xen by its own control libraries and xenstore, as the original's `classic`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.absent import NoPcis, NoVgpus, NoVusbs
from engine.backend import Backend
from schema.fault import unimplemented
from schema.objects.dynamic import ObjectId
from typing_extensions import override

from worker_xen.classic.dom0 import LinuxDom0
from worker_xen.classic.ends import Ends
from worker_xen.classic.host import ClassicHost
from worker_xen.classic.hypervisor import Hypervisor, Parts
from worker_xen.classic.suspend import Courier
from worker_xen.classic.vbds import ClassicVbds
from worker_xen.classic.vifs import ClassicVifs
from worker_xen.classic.vms import ClassicVms
from worker_xen.libxc.door import Libxc
from worker_xen.xenstore.daemon import SOCKET, Daemon


def open_classic(run: Path, bindings: Path, xenstore: Path = SOCKET) -> "Classic":
    """The backend on this host. Errors: `BindingError`, and those of `Classic`."""
    return Classic(
        Parts(
            run=run,
            xen=Libxc(bindings),
            store=Daemon(xenstore),
            dom0=LinuxDom0(),
            courier=Courier((sys.executable, "-m", "worker_xen.libxc.courier", str(bindings))),
        )
    )


class Classic(Backend):
    """The `Backend` called `classic`."""

    name = "classic"

    def __init__(self, parts: Parts) -> None:
        """Take the run directory. Errors: `RunDirectoryInUseError`, `XenopsError`."""
        self._hypervisor = Hypervisor(parts)
        ends = Ends(parts.store, parts.dom0)
        self.host = ClassicHost(self._hypervisor)
        self.vm = ClassicVms(self._hypervisor)
        self.pci = NoPcis()
        self.vbd = ClassicVbds(self._hypervisor, ends)
        self.vif = ClassicVifs(self._hypervisor, ends)
        self.vgpu = NoVgpus()
        self.vusb = NoVusbs()

    @override
    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Hear from now on what happens by itself."""
        self._hypervisor.start(on_change)

    @override
    def stop(self) -> None:
        """Hear no more; VMs run on."""
        self._hypervisor.stop()

    @override
    def trigger(self, command: str, arguments: Sequence[str]) -> None:
        """No trigger is known: on a real host things happen by themselves."""
        raise unimplemented(command)
