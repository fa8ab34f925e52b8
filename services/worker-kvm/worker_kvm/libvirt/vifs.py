"""The verbs on network interfaces: a tap that libvirt makes on a bridge, or QEMU's own network."""

from collections.abc import Sequence

from engine.backend import Execution
from engine.hosted.port_rules import port_rules
from engine.refusals import bridge_of, refuse_restrictions
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.network import Network
from schema.objects.vif import LockingMode, Vif
from typing_extensions import override
from virt.spoken import spoken
from virt.xml import written

from worker_kvm.addresses import wanted
from worker_kvm.card import Card
from worker_kvm.libvirt.document import nic_node
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Domain, Machine, Nic, plugged
from worker_kvm.libvirt.ports import free_port
from worker_kvm.libvirt.rules import restricted
from worker_kvm.qemu.vifs import FORCED_UNPLUG_TIMEOUT_S, UNPLUG_TIMEOUT_S
from worker_kvm.tapless import refuse_unheld
from worker_kvm.vifs import KvmVifs


class LibvirtVifs(KvmVifs[Hypervisor]):
    """`VifVerbs` on libvirt."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        super().__init__(hypervisor)
        self._bridged = hypervisor.settings.bridged

    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the guest at once, or to libvirt when the domain starts."""
        execution.check_cancelled()
        if self._hypervisor.look(vm).nic(vif.id) is not None:
            return
        refuse_restrictions(vif, has_locking=self._bridged, has_rates=self._bridged, has_trunks=self._bridged)
        bridge_of(vif.backend)
        refuse_unheld(port_rules(vif.id.device, vif), "VIF.plug", has_tap=self._bridged)
        wanted(vif)

        def with_vif(machine: Machine) -> Machine:
            return plugged(machine, vif, bridged=self._bridged)

        machine, live = with_vif(self._hypervisor.look(vm)), self._hypervisor.live(vm)
        nic = machine.nic(vif.id)
        if live is not None and nic is not None:
            self._add(machine.living(), live, nic)
        self._hypervisor.change(vm, with_vif)
        self._attend(vm)

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away. By force, what is left until the guest lets go is a card without a cable."""
        nic, live = self._hypervisor.look(vm).nic(vif.id), self._hypervisor.live(vm)
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
                self._update(live, nic.but(carrier=False))
        self._hypervisor.rules.clear([nic])
        self._hypervisor.change(vm, lambda machine: machine.without_nic(vif.id))

    @override
    def wants_unplug(self, vm: VmId, vif: Vif) -> bool:
        """Whether the guest has let go of it by itself."""
        nic, live = self._hypervisor.look(vm).nic(vif.id), self._hypervisor.lasting(vm)
        return nic is not None and live is not None and not self._hypervisor.has_device(live.uuid, nic.alias)

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        """Connect it to another bridge."""
        bridge_of(network)
        self._change(vm, vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        self._change(vm, vif, carrier=carrier)

    @override
    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        """What is on its way passes; from the next frame on the new mode holds."""
        self._restrict(vm, vif, f"VIF.set_locking_mode to {mode.kind}", locking_mode=mode)

    @override
    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        """From the next frame on these VLANs pass; none: all."""
        self._restrict(vm, vif, "VIF.set_trunks", trunks=tuple(trunks))

    @override
    def _attend(self, vm: str) -> None:
        domain = self._hypervisor.look(vm).domain
        if domain is not None:
            self._hypervisor.agents.attend(domain.uuid)

    @override
    def _end_of(self, machine: Machine, vif: Vif) -> str | None:
        """Its tap, if it has one."""
        nic = machine.nic(vif.id)
        return None if nic is None else nic.tap

    def _restrict(self, vm: VmId, vif: Vif, what: str, **fields: object) -> None:
        """Errors: those of `port_rules` and `refuse_unheld`."""
        nic, live = self._hypervisor.look(vm).nic(vif.id), self._hypervisor.live(vm)
        if nic is None:
            return
        changed = nic.but(**fields)
        rules = port_rules(nic.tap or nic.alias, changed.vif)
        refuse_unheld(rules, what, has_tap=nic.tap is not None or self._bridged)
        if nic.tap is not None and live is not None and live.asked is None:
            self._hypervisor.rules.replace(rules)
        self._hypervisor.change(vm, lambda machine: machine.with_nic(changed))

    def _change(self, vm: VmId, vif: Vif, **fields: object) -> None:
        nic, live = self._hypervisor.look(vm).nic(vif.id), self._hypervisor.live(vm)
        if nic is None:
            return
        changed = nic.but(**fields)
        if live is not None and live.asked is None:
            self._update(live, changed)
        self._hypervisor.change(vm, lambda machine: machine.with_nic(changed))

    def _update(self, live: Live, nic: Nic) -> None:
        with spoken():
            self._hypervisor.virt.update(live.uuid, written(nic_node(nic, bridged=self._bridged)))

    def _add(self, domain: Domain, live: Live, nic: Nic) -> None:
        """One that is to be restricted gets its cable when its rules are there."""
        is_restricted = any(restricted([nic]))
        first = nic.but(carrier=False) if is_restricted else nic
        if not self._hypervisor.has_device(live.uuid, nic.alias):
            # an emulated card is PCI's, for which libvirt would want a bridge, unless it is told a place
            place = None if nic.card is Card.VIRTIO else free_port(self._hypervisor, domain, live)
            self._hypervisor.attach(live.uuid, nic_node(first, bridged=self._bridged, place=place))
        if is_restricted:
            try:
                self._hypervisor.rules.set([nic])
            except XenopsError:
                self._hypervisor.detach(live, nic.alias, FORCED_UNPLUG_TIMEOUT_S)
                raise
            if nic.vif.carrier:
                self._update(live, nic)
