"""The verbs on network interfaces: an end on a bridge of dom0, by Xen's own hotplug scripts."""

from collections.abc import Sequence

from engine.backend import Execution, VifVerbs
from engine.noted import noted
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.errors import Unimplemented
from schema.objects.network import Network
from schema.objects.vif import (
    Ipv4Configuration,
    Ipv6Configuration,
    LockingMode,
    PvsProxy,
    Unlocked,
    Unspecified4,
    Unspecified6,
    Vif,
    VifState,
)
from typing_extensions import override

from worker_xen.xenlight.bridging import connect, ends_of, refuse_without_bridge, set_carrier
from worker_xen.xenlight.config import bridge, nic_config
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import Nic, find_nic, plugged, with_nic, without_nic
from worker_xen.xenlight.states import vif_state
from worker_xen.xenlight.values import Device, LibxlError


class XenlightVifs(VifVerbs):
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
        _refuse_what_is_missing(vif)
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
        target = bridge(network)
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
    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        if not isinstance(mode, Unlocked):
            raise XenopsError(Unimplemented(what=f"VIF.set_locking_mode to {mode.kind}"))

    @override
    def set_ipv4_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv4Configuration
    ) -> None:
        if not isinstance(configuration, Unspecified4):
            raise XenopsError(Unimplemented(what="VIF.set_ipv4_configuration"))

    @override
    def set_ipv6_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv6Configuration
    ) -> None:
        if not isinstance(configuration, Unspecified6):
            raise XenopsError(Unimplemented(what="VIF.set_ipv6_configuration"))

    @override
    def set_pvs_proxy(self, execution: Execution, vm: VmId, vif: Vif, proxy: PvsProxy | None) -> None:
        if proxy is not None:
            raise XenopsError(Unimplemented(what="VIF.set_pvs_proxy"))

    @override
    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        if trunks:
            raise XenopsError(Unimplemented(what="VIF.set_trunks"))

    @override
    def get_state(self, vm: VmId, vif: Vif) -> VifState:
        return vif_state(self._hypervisor.look(vm), vif.id)

    @override
    def wants_unplug(self, vm: VmId, vif: Vif) -> bool:
        """No guest asks."""
        return False

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


def _refuse_what_is_missing(vif: Vif) -> None:
    """An interface that was to be restricted is not plugged without its restrictions."""
    wanted = {
        "a locking mode": not isinstance(vif.locking_mode, Unlocked),
        "a PVS proxy": vif.pvs_proxy is not None,
        "a VLAN": vif.vlan is not None or bool(vif.trunks),
    }
    for what, is_wanted in wanted.items():
        if is_wanted:
            raise XenopsError(Unimplemented(what=f"VIF.plug with {what}"))
    refuse_without_bridge(bridge(vif.backend))
