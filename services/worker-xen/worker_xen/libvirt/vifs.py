"""The verbs on network interfaces: an end on a bridge of dom0, by Xen's own hotplug scripts."""

from engine.backend import Execution
from engine.noted import noted
from engine.refusals import bridge_of, refuse_restrictions
from engine.unrestricted import UnrestrictedVifs
from schema.fault import internal_error
from schema.ids import VmId
from schema.objects.network import Network
from schema.objects.vif import Vif, VifState
from typing_extensions import override
from virt.spoken import spoken
from virt.values import VirtError

from worker_xen.libvirt.document import end_of, nic_node
from worker_xen.libvirt.hypervisor import Hypervisor
from worker_xen.xenlight.bridging import connect, refuse_without_bridge, set_carrier, there
from worker_xen.xenlight.machine import Domain, Nic, find_nic, plugged, with_nic, without_nic
from worker_xen.xenlight.states import vif_state


class LibvirtVifs(UnrestrictedVifs):
    """`VifVerbs` on libvirt."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def set_active(self, execution: Execution, vm: VmId, vif: Vif, *, active: bool) -> None:
        name = f"vif.{vif.id.device}"
        self._hypervisor.change(
            vm, lambda machine: machine.but(active=noted(machine.active, name, there=active))
        )

    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the guest at once, or to libvirt when it makes the domain."""
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        domain = machine.living()
        if find_nic(machine, vif.id) is not None:
            return
        refuse_restrictions(vif)
        refuse_without_bridge(bridge_of(vif.backend))
        plugged(machine, vif)
        if domain.domid is not None:
            with spoken():
                self._hypervisor.attach(domain, nic_node(domain, Nic(vif=vif)))
            set_carrier_of(domain, vif)
        self._hypervisor.change(vm, lambda known: plugged(known, vif))

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away: libxl asks the guest, and takes it all the same where it does not answer."""
        machine = self._hypervisor.look(vm)
        nic, domain = find_nic(machine, vif.id), machine.domain
        if domain is None or nic is None:
            return
        if domain.domid is not None:
            try:
                self._hypervisor.detach(domain, nic_node(domain, nic))
            except VirtError as error:
                raise internal_error(
                    f"VIF {vif.id.device} of VM {vm} cannot be unplugged: {error}; let the guest run and try "
                    "again"
                ) from error
        self._hypervisor.change(vm, lambda known: without_nic(known, vif.id))

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        machine = self._hypervisor.look(vm)
        if machine.domain is None or find_nic(machine, vif.id) is None:
            return
        target = bridge_of(network)
        refuse_without_bridge(target)
        for end in _ends(machine.domain, vif):
            connect(end, target)
        self._set(vm, vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        """Without carrier no frame goes through; a guest sees it by that alone."""
        machine = self._hypervisor.look(vm)
        if machine.domain is None or find_nic(machine, vif.id) is None:
            return
        for end in _ends(machine.domain, vif):
            set_carrier(end, carrier=carrier)
        self._set(vm, vif, carrier=carrier)

    @override
    def get_state(self, vm: VmId, vif: Vif) -> VifState:
        machine = self._hypervisor.look(vm)
        state = vif_state(machine, vif.id)
        nic = find_nic(machine, vif.id)
        if nic is None or machine.domain is None or machine.domain.domid is None:
            return state
        return state.model_copy(update={"device": end_of(machine.domain, nic.vif)})

    def _set(self, vm: VmId, vif: Vif, **fields: object) -> None:
        nic = find_nic(self._hypervisor.look(vm), vif.id)
        if nic is not None:
            changed = Nic(vif=nic.vif.model_copy(update=fields))
            self._hypervisor.change(vm, lambda machine: with_nic(machine, changed))


def set_carrier_of(domain: Domain, vif: Vif) -> None:
    """What an interface that has just been plugged shall have for a carrier; usually it has one."""
    if not vif.carrier:
        for end in _ends(domain, vif):
            set_carrier(end, carrier=False)


def _ends(domain: Domain, vif: Vif) -> list[str]:
    return [] if domain.domid is None else there(end_of(domain, vif))
