"""Backend: KVM by running QEMU ourselves, one process for each domain, over QMP."""

from collections.abc import Callable, Sequence

from engine.absent import NoPcis, NoVgpus, NoVusbs
from engine.backend import Backend
from schema.fault import unimplemented
from schema.objects.dynamic import ObjectId
from typing_extensions import override

from worker_kvm.qemu.content import OVERLAYS, Content
from worker_kvm.qemu.host import QemuHost
from worker_kvm.qemu.hypervisor import Hypervisor, QemuSettings
from worker_kvm.qemu.saving import Savings
from worker_kvm.qemu.vbds import QemuVbds
from worker_kvm.qemu.vifs import QemuVifs
from worker_kvm.qemu.vms import QemuVms


class Qemu(Backend):
    """The `Backend` called `qemu`."""

    name = "qemu"

    def __init__(self, settings: QemuSettings) -> None:
        """Take the run directory. Errors: `RunDirectoryInUseError`, `XenopsError`."""
        self._hypervisor = Hypervisor(settings)
        self.host = QemuHost(settings.qemu, settings.accelerator)
        content = Content(settings.run / OVERLAYS, settings.storage)
        self.pci = NoPcis()
        self.vbd = QemuVbds(self._hypervisor, content)
        self.vif = QemuVifs(self._hypervisor)
        self.vm = QemuVms(self._hypervisor, Savings(self._hypervisor, content.find, self.vif.plug))
        self.vgpu = NoVgpus()
        self.vusb = NoVusbs()

    @override
    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find the QEMUs of a worker before us, and hear from all from now on."""
        self._hypervisor.start(on_change)

    @override
    def stop(self) -> None:
        """Hang up; the VMs run on."""
        self._hypervisor.stop()

    @override
    def trigger(self, command: str, arguments: Sequence[str]) -> None:
        """No trigger is known: on a real host things happen by themselves."""
        raise unimplemented(command)
