"""The verbs on network interfaces: a tap on a bridge, or QEMU's own network, and a card in the guest."""

import os
from collections.abc import Sequence

from engine.backend import Execution
from engine.hosted.port_rules import port_rules
from engine.refusals import bridge_of, refuse_restrictions
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.network import Network
from schema.objects.vif import LockingMode, Vif
from typing_extensions import override

from worker_kvm.addresses import wanted
from worker_kvm.kind import Kind, refuse_late
from worker_kvm.network import NetworkError
from worker_kvm.qemu.devices import netdev, nic_device
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Left, Machine, Nic, plugged, unplugged, without_left
from worker_kvm.tapless import refuse_unheld
from worker_kvm.vifs import KvmVifs

UNPLUG_TIMEOUT_S = 10.0
"""How long a guest may take to let go of an interface; a paused one does not answer."""

FORCED_UNPLUG_TIMEOUT_S = 1.0
"""The same before it is taken by force."""


def forget_left(hypervisor: Hypervisor, vm: str, live: Live) -> Sequence[Left]:
    """Strike out cards, taken by force, that the guest has let go of since; answers those that stay."""
    domain = hypervisor.look(vm).domain
    left = () if domain is None else domain.left
    gone = {each.device for each in left if live.lacks(each.device)}
    if gone:
        hypervisor.change(vm, lambda machine: without_left(machine, gone))
    return [each for each in left if each.device not in gone]


def refuse_left(hypervisor: Hypervisor, vm: str, live: Live) -> None:
    """Errors: `Internal_error`, the guest has a card that the VM has not, nor any machine made for it."""
    if forget_left(hypervisor, vm, live):
        raise internal_error(
            f"VM {vm} cannot be suspended or migrated: its guest has not let go of a VIF that was taken by "
            "force; let it run until it has"
        )


class QemuVifs(KvmVifs[Hypervisor]):
    """`VifVerbs` on QEMU."""

    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the guest at once, or to QEMU when it starts."""
        execution.check_cancelled()
        if self._hypervisor.look(vm).nic(vif.id) is not None:
            return
        bridged = self._hypervisor.settings.bridged
        refuse_restrictions(vif, has_locking=bridged, has_rates=bridged, has_trunks=bridged)
        bridge_of(vif.backend)
        refuse_unheld(port_rules(vif.id.device, vif), "VIF.plug", has_tap=bridged)
        wanted(vif)

        def with_vif(machine: Machine) -> Machine:
            return plugged(machine, vif, bridged=bridged)

        live = self._hypervisor.live(vm)
        if live is not None:
            kind = self._hypervisor.look(vm).living().kind
            refuse_late(kind, vm, "interfaces")
            forget_left(self._hypervisor, vm, live)
            nic = with_vif(self._hypervisor.look(vm)).nic(vif.id)
            if nic is not None:
                self._add(live, nic, kind)
        self._hypervisor.change(vm, with_vif)
        self._attend(vm)

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away. By force, what is left in the guest is a card without a cable."""
        nic, live = self._hypervisor.look(vm).nic(vif.id), self._hypervisor.live(vm)
        if nic is None:
            return
        stays = False
        if live is not None:
            refuse_late(self._hypervisor.look(vm).living().kind, vm, "interfaces")
            patience_s = FORCED_UNPLUG_TIMEOUT_S if force else UNPLUG_TIMEOUT_S
            stays = not live.remove_device(nic.device, patience_s)
            if stays and not force:
                raise internal_error(
                    f"The guest of VM {vm} did not let go of VIF {vif.id.device} within {patience_s:g} s: "
                    "let it run and try again, or force it"
                )
            live.try_to("netdev_del", {"id": nic.netdev})
        self._hypervisor.clear_rules(nic)
        self._hypervisor.change(vm, lambda machine: unplugged(machine, nic, stays=stays))

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        nic = self._hypervisor.look(vm).nic(vif.id)
        if nic is None:
            return
        bridge = bridge_of(network)
        if nic.tap is not None and self._hypervisor.live(vm) is not None:
            try:
                self._hypervisor.network.move_tap(nic.tap, bridge)
            except NetworkError as error:
                raise internal_error(f"Cannot move VIF {vif.id.device} of VM {vm}: {error}") from error
        self._set(vm, vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        nic, live = self._hypervisor.look(vm).nic(vif.id), self._hypervisor.live(vm)
        if nic is None:
            return
        if live is not None:
            live.do("set_link", {"name": nic.device, "up": carrier})
        self._set(vm, vif, carrier=carrier)

    @override
    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        """What is on its way passes; from the next frame on the new mode holds."""
        self._restrict(vm, vif, f"VIF.set_locking_mode to {mode.kind}", locking_mode=mode)

    @override
    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        """From the next frame on these VLANs pass; none: all."""
        self._restrict(vm, vif, "VIF.set_trunks", trunks=tuple(trunks))

    @override
    def wants_unplug(self, vm: VmId, vif: Vif) -> bool:
        """Whether the guest has let go of it by itself."""
        nic, live = self._hypervisor.look(vm).nic(vif.id), self._hypervisor.live(vm)
        return nic is not None and live is not None and live.lacks(nic.device)

    @override
    def _attend(self, vm: str) -> None:
        domain = self._hypervisor.look(vm).domain
        if domain is not None:
            self._hypervisor.agents.attend(domain.domid)

    @override
    def _end_of(self, machine: Machine, vif: Vif) -> str | None:
        """Its tap, if it has one."""
        nic = machine.nic(vif.id)
        return None if nic is None else nic.tap

    def _restrict(self, vm: VmId, vif: Vif, what: str, **fields: object) -> None:
        """Errors: those of `port_rules` and `refuse_unheld`."""
        nic = self._hypervisor.look(vm).nic(vif.id)
        if nic is None:
            return
        rules = port_rules(nic.tap or nic.device, nic.vif.model_copy(update=fields))
        refuse_unheld(rules, what, has_tap=nic.tap is not None)
        if nic.tap is not None and self._hypervisor.live(vm) is not None:
            self._hypervisor.set_rules(rules)
        self._set(vm, vif, **fields)

    def _add(self, live: Live, nic: Nic, kind: Kind) -> None:
        """The tap goes to QEMU as an open file; what QEMU refuses leaves nothing behind."""
        if live.has_device(nic.device):
            return
        live.try_to("netdev_del", {"id": nic.netdev})  # a worker that died may have left it
        if nic.tap is not None:
            descriptor = self._hypervisor.open_tap(nic)
            try:
                live.give(descriptor, nic.netdev)
            finally:
                os.close(descriptor)
        live.do("netdev_add", netdev(nic, nic.netdev))
        try:
            live.do("device_add", nic_device(nic, kind))
        except XenopsError:
            live.try_to("netdev_del", {"id": nic.netdev})
            raise
        if not nic.vif.carrier:
            live.do("set_link", {"name": nic.device, "up": False})
