"""The host's own verbs: what Linux tells of itself, and libvirt of its versions."""

from schema.objects.host import Hypervisor as HypervisorInfo
from typing_extensions import override
from virt.spoken import spoken

from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.qemu.host import LinuxHost


class LibvirtHost(LinuxHost):
    """`HostVerbs` on libvirt."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        super().__init__(hypervisor.settings.accelerator)

    @override
    def hypervisor(self) -> HypervisorInfo:
        """Errors: `Internal_error`, libvirt is not reached."""
        with spoken():
            libvirt, qemu = self._hypervisor.virt.versions()
        return HypervisorInfo(
            version=f"libvirt {libvirt}, QEMU {qemu}",
            capabilities=f"hvm-3.0-x86_64 {self._hypervisor.settings.accelerator}",
        )
