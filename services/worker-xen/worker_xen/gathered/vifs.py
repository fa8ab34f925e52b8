"""The verbs on network interfaces: an end on a bridge of dom0, by Xen's own hotplug scripts."""

from abc import abstractmethod
from typing import ClassVar

from engine.backend import Execution
from engine.hosted.vifs import HostedVifs
from engine.refusals import bridge_of, refuse_restrictions
from schema.fault import internal_error
from schema.ids import VmId
from schema.objects.network import Network
from schema.objects.vif import Vif
from typing_extensions import override

from worker_xen.gathered.domains import Host
from worker_xen.xenlight.bridging import connect, refuse_without_bridge, set_carrier, there
from worker_xen.xenlight.machine import Domain, Machine, Nic, plugged


class GatheredVifs(HostedVifs[Host]):
    """`VifVerbs` but for how a domain gets an interface and loses it, and what its end is called."""

    refusal: ClassVar[type[Exception]]
    """How `_take` says that it cannot."""

    way_out: ClassVar[str]
    """What helps where a guest does not let go of an interface."""

    @abstractmethod
    def _give(self, execution: Execution, domain: Domain, domid: int, nic: Nic) -> None:
        """Give an interface to a domain that is there. Errors: `Internal_error`."""

    @abstractmethod
    def _take(self, domain: Domain, domid: int, nic: Nic, *, force: bool) -> None:
        """Take an interface from a domain that is there. Errors: `refusal`."""

    @abstractmethod
    def _end(self, domain: Domain, domid: int, vif: Vif) -> str | None:
        """The name of the interface's end in dom0, of a domain that is there; None: it has none."""

    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the guest at once, or with all else when the domain is made."""
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        domain = machine.living()
        if machine.nic(vif.id) is not None:
            return
        refuse_restrictions(vif)
        refuse_without_bridge(bridge_of(vif.backend))
        plugged(machine, vif)
        if domain.domid is not None:
            self._give(execution, domain, domain.domid, Nic(vif=vif))
            set_carrier_of(self._end(domain, domain.domid, vif), vif)
        self._hypervisor.change(vm, lambda known: plugged(known, vif))

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away, or `Internal_error`."""
        machine = self._hypervisor.look(vm)
        nic, domain = machine.nic(vif.id), machine.domain
        if domain is None or nic is None:
            return
        if domain.domid is not None:
            try:
                self._take(domain, domain.domid, nic, force=force)
            except self.refusal as error:
                raise internal_error(
                    f"VIF {vif.id.device} of VM {vm} cannot be unplugged: {error}; {self.way_out}"
                ) from error
        self._hypervisor.change(vm, lambda known: known.without_nic(vif.id))

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        machine = self._hypervisor.look(vm)
        if machine.domain is None or machine.nic(vif.id) is None:
            return
        target = bridge_of(network)
        refuse_without_bridge(target)
        for end in self._ends(machine, vif):
            connect(end, target)
        self._set(vm, vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        """Without carrier no frame goes through; a guest sees it by that alone."""
        machine = self._hypervisor.look(vm)
        if machine.domain is None or machine.nic(vif.id) is None:
            return
        for end in self._ends(machine, vif):
            set_carrier(end, carrier=carrier)
        self._set(vm, vif, carrier=carrier)

    def _ends(self, machine: Machine, vif: Vif) -> list[str]:
        name = self._end_of(machine, vif)
        return [] if name is None else there(name)

    @override
    def _end_of(self, machine: Machine, vif: Vif) -> str | None:
        domain, nic = machine.domain, machine.nic(vif.id)
        if domain is None or domain.domid is None or nic is None:
            return None
        return self._end(domain, domain.domid, nic.vif)


def set_carrier_of(name: str | None, vif: Vif) -> None:
    """What an interface that has just been plugged shall have for a carrier; usually it has one."""
    if not vif.carrier and name is not None:
        for end in there(name):
            set_carrier(end, carrier=False)
