"""Backend: Xen by its own control libraries and xenstore, as the original's `classic`."""

import sys
from dataclasses import dataclass
from pathlib import Path

from engine.hosted.backend import HostedBackend
from engine.hosted.storage.ports import Storage
from engine.hosted.usbfs import Usbfs

from worker_xen.classic.boot.bootloader import Bootloaders
from worker_xen.classic.content import Dom0Content
from worker_xen.classic.dom0 import LinuxDom0
from worker_xen.classic.ends import Ends
from worker_xen.classic.host import ClassicHost
from worker_xen.classic.hvm.emulators import Emulators
from worker_xen.classic.hypervisor import Hypervisor, Parts
from worker_xen.classic.pcis import ClassicPcis
from worker_xen.classic.suspend import Courier
from worker_xen.classic.users import Users
from worker_xen.classic.vbds import ClassicVbds
from worker_xen.classic.vifs import ClassicVifs
from worker_xen.classic.vms import ClassicVms
from worker_xen.classic.vusbs import ClassicVusbs, Shown
from worker_xen.libxc.door import Libxc
from worker_xen.xenstore.daemon import SOCKET, Daemon


@dataclass(frozen=True, slots=True)
class ClassicSettings:
    """What the backend must be told; `users` are those of device models and bootloaders."""

    run: Path
    bindings: Path
    users: Users | None = None
    storage: Storage | None = None
    xenstore: Path = SOCKET


def open_classic(settings: ClassicSettings) -> "Classic":
    """The backend on this host.

    Errors: `BindingError`, and those of `Classic`.
    """
    run, bindings, users = settings.run, settings.bindings, settings.users
    dom0 = LinuxDom0()
    content = Dom0Content(dom0, settings.storage)
    return Classic(
        Parts(
            run=run,
            xen=Libxc(bindings),
            store=Daemon(settings.xenstore),
            dom0=dom0,
            courier=Courier((sys.executable, "-m", "worker_xen.libxc.courier", str(bindings))),
            emulators=Emulators(run / "emulators", users),
            bootloaders=Bootloaders(dom0, content, users),
            content=content,
            usb=Usbfs(),
        )
    )


class Classic(HostedBackend[Hypervisor]):
    """The `Backend` called `classic`."""

    name = "classic"

    def __init__(self, parts: Parts) -> None:
        """Take the run directory. Errors: `RunDirectoryInUseError`, `XenopsError`."""
        hypervisor = Hypervisor(parts)
        super().__init__(hypervisor)
        ends = Ends(parts.store, parts.dom0)
        self.host = ClassicHost(hypervisor)
        self.vusb = vusbs = ClassicVusbs(Shown(hypervisor), parts.usb)
        self.vm = ClassicVms(hypervisor, vusbs.let_go)
        self.vbd = ClassicVbds(hypervisor, parts.content, ends)
        self.vif = ClassicVifs(hypervisor, ends)
        self.pci = ClassicPcis(hypervisor, ends)
