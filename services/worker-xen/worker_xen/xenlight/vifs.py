"""The verbs on network interfaces, on libxl."""

from engine.backend import Execution
from schema.objects.vif import Vif
from typing_extensions import override

from worker_xen.gathered.vifs import GatheredVifs
from worker_xen.xenlight.bridging import end_of
from worker_xen.xenlight.config import nic_config
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import Domain, Nic
from worker_xen.xenlight.values import Device, LibxlError


class XenlightVifs(GatheredVifs[Hypervisor]):
    """`VifVerbs` on libxl."""

    refusal = LibxlError
    way_out = "let the guest run and try again, or force it"

    @override
    def _give(self, execution: Execution, domain: Domain, domid: int, nic: Nic) -> None:
        with spoken(execution):
            device = Device("nic", nic_config(domain.vm, nic))
            self._hypervisor.libxl.add_device(domid, device, execution.cancellable)

    @override
    def _take(self, domain: Domain, domid: int, nic: Nic, *, force: bool) -> None:
        """Unforced, the guest lets it go."""
        self._hypervisor.libxl.remove_device(domid, Device("nic", nic_config(domain.vm, nic)), force=force)

    @override
    def _end(self, domain: Domain, domid: int, vif: Vif) -> str:
        return end_of(domid, vif.position)
