"""The verbs on network interfaces: a tap that libvirt makes on a bridge, or QEMU's own network."""

from collections.abc import Sequence

from engine.backend import Execution, VifVerbs
from engine.noted import noted
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.errors import Unimplemented
from schema.objects.network import LocalNetwork, Network
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
from virt.xml import written

from worker_kvm.libvirt.document import nic_node
from worker_kvm.libvirt.hypervisor import Hypervisor, spoken, taps_of
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Machine, Nic, find_nic, plugged, with_nic, without_nic
from worker_kvm.libvirt.states import vif_state
from worker_kvm.qemu.vifs import FORCED_UNPLUG_TIMEOUT_S, UNPLUG_TIMEOUT_S


class LibvirtVifs(VifVerbs):
    """`VifVerbs` on libvirt."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._bridged = hypervisor.settings.bridged

    @override
    def set_active(self, execution: Execution, vm: VmId, vif: Vif, *, active: bool) -> None:
        name = f"vif.{vif.id.device}"
        self._hypervisor.change(
            vm, lambda machine: machine.but(active=noted(machine.active, name, there=active))
        )

    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the guest at once, or to libvirt when the domain starts."""
        execution.check_cancelled()
        if find_nic(self._hypervisor.look(vm), vif.id) is not None:
            return
        _refuse_what_is_missing(vif)

        def with_vif(machine: Machine) -> Machine:
            return plugged(machine, vif)

        nic, live = find_nic(with_vif(self._hypervisor.look(vm)), vif.id), self._hypervisor.live(vm)
        tap = self._add(live, nic) if live is not None and nic is not None else None

        def with_tap(machine: Machine) -> Machine:
            machine = with_vif(machine)
            there = find_nic(machine, vif.id)
            return machine if there is None else with_nic(machine, there.model_copy(update={"tap": tap}))

        self._hypervisor.change(vm, with_tap)

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away. By force, what is left until the guest lets go is a card without a cable."""
        nic, live = find_nic(self._hypervisor.look(vm), vif.id), self._hypervisor.live(vm)
        if nic is None:
            return
        if live is not None and live.asked is None:
            patience_s = FORCED_UNPLUG_TIMEOUT_S if force else UNPLUG_TIMEOUT_S
            if not self._hypervisor.detach(live, nic.alias, patience_s):
                if not force:
                    raise internal_error(
                        f"The guest of VM {vm} did not let go of VIF {vif.id.device} within "
                        f"{patience_s:g} s: let it run and try again, or force it"
                    )
                self._update(live, _but(nic, carrier=False))
        self._hypervisor.change(vm, lambda machine: without_nic(machine, vif.id))

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        """Connect it to another bridge."""
        _bridge(network)
        self._change(vm, vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        self._change(vm, vif, carrier=carrier)

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
        """Nothing to configure is all that can be done: there is no agent in the guest to tell."""
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

    def _change(self, vm: VmId, vif: Vif, **fields: object) -> None:
        nic, live = find_nic(self._hypervisor.look(vm), vif.id), self._hypervisor.live(vm)
        if nic is None:
            return
        changed = _but(nic, **fields)
        if live is not None and live.asked is None:
            self._update(live, changed)
        self._hypervisor.change(vm, lambda machine: with_nic(machine, changed))

    def _update(self, live: Live, nic: Nic) -> None:
        with spoken():
            self._hypervisor.virt.update(live.uuid, written(nic_node(nic, bridged=self._bridged)))

    def _add(self, live: Live, nic: Nic) -> str | None:
        """Answers the tap that libvirt has made."""
        if not self._hypervisor.has_device(live.uuid, nic.alias):
            self._hypervisor.attach(live.uuid, nic_node(nic, bridged=self._bridged))
        return taps_of(self._hypervisor.devices(live.uuid)).get(nic.alias)


def _but(nic: Nic, **fields: object) -> Nic:
    return nic.model_copy(update={"vif": nic.vif.model_copy(update=fields)})


def _refuse_what_is_missing(vif: Vif) -> None:
    """An interface that was to be restricted is not plugged without its restrictions."""
    wanted = {
        "a locking mode": not isinstance(vif.locking_mode, Unlocked),
        "a rate": vif.rate is not None,
        "a PVS proxy": vif.pvs_proxy is not None,
        "a VLAN": vif.vlan is not None or bool(vif.trunks),
    }
    for what, is_wanted in wanted.items():
        if is_wanted:
            raise XenopsError(Unimplemented(what=f"VIF.plug with {what}"))
    _bridge(vif.backend)


def _bridge(network: Network) -> str:
    if isinstance(network, LocalNetwork):
        return network.bridge
    raise XenopsError(Unimplemented(what=f"VIF.plug to a {network.kind} network"))
