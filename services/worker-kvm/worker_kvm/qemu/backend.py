"""Backend: KVM by running QEMU ourselves, one process for each domain, over QMP."""

from engine.hosted.backend import HostedBackend
from engine.hosted.usbfs import Usbfs

from worker_kvm.qemu.content import OVERLAYS, OverlaidContent
from worker_kvm.qemu.host import QemuHost
from worker_kvm.qemu.hypervisor import Hypervisor, QemuSettings
from worker_kvm.qemu.pcis import QemuPcis
from worker_kvm.qemu.saving import Savings
from worker_kvm.qemu.vbds import QemuVbds
from worker_kvm.qemu.vifs import QemuVifs
from worker_kvm.qemu.vms import QemuVms
from worker_kvm.qemu.vusbs import QemuVusbs
from worker_kvm.vfio import Vfio


class Qemu(HostedBackend[Hypervisor]):
    """The `Backend` called `qemu`."""

    name = "qemu"

    def __init__(self, settings: QemuSettings) -> None:
        """Take the run directory. Errors: `RunDirectoryInUseError`, `XenopsError`."""
        hypervisor = Hypervisor(settings)
        super().__init__(hypervisor)
        self.host = QemuHost(settings.qemu, settings.accelerator)
        content = OverlaidContent(settings.run / OVERLAYS, settings.storage)
        self.vbd = QemuVbds(hypervisor, content)
        self.vif = QemuVifs(hypervisor)
        self.pci = pcis = QemuPcis(hypervisor, Vfio())
        self.vusb = vusbs = QemuVusbs(hypervisor, Usbfs())
        savings = Savings(hypervisor, content)
        self.vm = QemuVms(hypervisor, savings, self.vif.plug, (pcis.let_go, vusbs.let_go))
