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

from worker_xen.xenlight.bridging import connect, ends_of, refuse_without_bridge, set_carrier
from worker_xen.xenlight.config import nic_config
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import Nic, find_nic, plugged, with_nic, without_nic
from worker_xen.xenlight.states import vif_state
from worker_xen.xenlight.values import Device, LibxlError


class XenlightVifs(UnrestrictedVifs):
    """`VifVerbs` on libxl."""

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
        """Give the interface to the guest at once, or to Xen when it makes the domain."""
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        domain = machine.living()
        if find_nic(machine, vif.id) is not None:
            return
        refuse_restrictions(vif)
        refuse_without_bridge(bridge_of(vif.backend))
        plugged(machine, vif)
        if domain.domid is not None:
            with spoken(execution):
                device = Device("nic", nic_config(domain.vm, Nic(vif=vif)))
                self._hypervisor.libxl.add_device(domain.domid, device, execution.cancellable)
            set_carrier_of(domain.domid, vif)
        self._hypervisor.change(vm, lambda known: plugged(known, vif))

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away. Unforced, the guest lets it go, or `Internal_error`."""
        machine = self._hypervisor.look(vm)
        nic = find_nic(machine, vif.id)
        if machine.domain is None or nic is None:
            return
        domain = machine.domain
        if domain.domid is not None:
            device = Device("nic", nic_config(domain.vm, nic))
            try:
                self._hypervisor.libxl.remove_device(domain.domid, device, force=force)
            except LibxlError as error:
                raise internal_error(
                    f"VIF {vif.id.device} of VM {vm} cannot be unplugged: {error}; let the guest run and try "
                    "again, or force it"
                ) from error
        self._hypervisor.change(vm, lambda known: without_nic(known, vif.id))

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        machine = self._hypervisor.look(vm)
        if machine.domain is None or find_nic(machine, vif.id) is None:
            return
        target = bridge_of(network)
        refuse_without_bridge(target)
        if machine.domain.domid is not None:
            for end in ends_of(machine.domain.domid, vif.position):
                connect(end, target)
        self._set(vm, vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        """Without carrier no frame goes through; a guest sees it by that alone."""
        machine = self._hypervisor.look(vm)
        if machine.domain is None or find_nic(machine, vif.id) is None:
            return
        if machine.domain.domid is not None:
            for end in ends_of(machine.domain.domid, vif.position):
                set_carrier(end, carrier=carrier)
        self._set(vm, vif, carrier=carrier)

    @override
    def get_state(self, vm: VmId, vif: Vif) -> VifState:
        return vif_state(self._hypervisor.look(vm), vif.id)

    def _set(self, vm: VmId, vif: Vif, **fields: object) -> None:
        nic = find_nic(self._hypervisor.look(vm), vif.id)
        if nic is not None:
            changed = Nic(vif=nic.vif.model_copy(update=fields))
            self._hypervisor.change(vm, lambda machine: with_nic(machine, changed))


def set_carrier_of(domid: int, vif: Vif) -> None:
    """What an interface that has just been plugged shall have for a carrier; usually it has one."""
    if not vif.carrier:
        for end in ends_of(domid, vif.position):
            set_carrier(end, carrier=False)
