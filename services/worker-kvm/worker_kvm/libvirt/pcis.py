"""PCI devices of the host, by libvirt: it lets QEMU open the file of a device's group, and pin its memory."""

from typing_extensions import override

from worker_kvm.hostdevices import HeldPci
from worker_kvm.libvirt.document import pci_node
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.ports import free_port
from worker_kvm.passthrough import Domain
from worker_kvm.pcis import KvmPcis


class LibvirtPcis(KvmPcis[Hypervisor, Live]):
    """`PciVerbs` on libvirt, which finds a device with VFIO and binds none (`managed='no'`)."""

    @override
    def _is_there(self, live: Live) -> bool:
        """Also one whose guest has ended, as long as libvirt keeps that."""
        return not live.is_over

    @override
    def _has(self, live: Live, held: HeldPci) -> bool:
        return self._hypervisor.has_device(live.uuid, held.alias)

    @override
    def _add(self, domain: Domain, live: Live, held: HeldPci) -> None:
        place = free_port(self._hypervisor, domain, live)
        self._hypervisor.attach(live.uuid, pci_node(held, place))

    @override
    def _is_gone(self, live: Live, held: HeldPci, timeout_s: float) -> bool:
        return self._hypervisor.detach(live, held.alias, timeout_s)
