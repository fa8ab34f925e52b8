"""The verbs on network interfaces, on libvirt."""

from engine.backend import Execution
from schema.objects.vif import Vif
from typing_extensions import override
from virt.spoken import spoken
from virt.values import VirtError

from worker_xen.gathered.vifs import GatheredVifs
from worker_xen.libvirt.document import nic_node
from worker_xen.libvirt.hypervisor import Hypervisor
from worker_xen.xenlight.machine import Domain, Nic


class LibvirtVifs(GatheredVifs[Hypervisor]):
    """`VifVerbs` on libvirt."""

    refusal = VirtError
    way_out = "let the guest run and try again"

    @override
    def _give(self, execution: Execution, domain: Domain, domid: int, nic: Nic) -> None:
        with spoken():
            self._hypervisor.attach(domain, nic_node(nic))

    @override
    def _take(self, domain: Domain, domid: int, nic: Nic, *, force: bool) -> None:
        """Libxl asks the guest, and takes it all the same where it does not answer."""
        self._hypervisor.detach(domain, nic_node(nic))

    @override
    def _end(self, domain: Domain, domid: int, vif: Vif) -> str | None:
        return self._hypervisor.end_of(domid, vif)
