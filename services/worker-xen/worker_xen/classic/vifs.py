"""The verbs on network interfaces: a card in the guest, whose other end is a port of a bridge."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from engine.backend import Execution
from engine.hosted.vifs import HostedVifs
from engine.refusals import bridge_of, refuse_restrictions
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.network import Network
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, LockingMode, Vif
from typing_extensions import override

from worker_xen.classic.ends import DRIVER_TIMEOUT_S, GUEST_TIMEOUT_S, Ends
from worker_xen.classic.hvm.command import Card
from worker_xen.classic.hvm.tap import tap_name
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Domain, Machine, Nic, nic_path, plugged
from worker_xen.classic.rules import rules_of
from worker_xen.xenstore.addresses import address_nodes, addresses_path
from worker_xen.xenstore.devices import DevicePath, NicNode, interface_name, nic_nodes
from worker_xen.xenstore.tree import Node

_POLL_S = 0.005
"""The control domain's interfaces cannot be waited for by a watch."""


class ClassicVifs(HostedVifs[Hypervisor]):
    """`VifVerbs` on Xen by libxc."""

    def __init__(self, hypervisor: Hypervisor, ends: Ends) -> None:
        super().__init__(hypervisor)
        self._ends = ends

    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the guest."""
        execution.check_cancelled()
        _, info = self._hypervisor.find(vm).living()
        refuse_restrictions(vif, has_locking=True, has_trunks=True)
        bridge_of(vif.backend)
        rules_of(vif.id.device, vif)
        machine = self._hypervisor.change(vm, lambda machine: plugged(machine, vif))
        try:
            self._give(info.domid, machine.nic(vif.id) or Nic(vif=vif), execution)
        except BaseException:
            self._hypervisor.change(vm, lambda machine: machine.without_nic(vif.id))
            raise

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away; the guest is asked unless it is forced."""
        found = self._hypervisor.find(vm)
        nic = found.machine.nic(vif.id)
        if nic is None:
            return
        domid = found.machine.living().domid
        if domid is not None:
            device = nic_path(domid, nic)
            if not force and found.info is not None and not self._ends.ask_guest(device, execution):
                raise internal_error(
                    f"The guest of VM {vm} has not let go of VIF {vif.id.device} within "
                    f"{GUEST_TIMEOUT_S:g} s: let it run and try again, or force it"
                )
            self._ends.remove(device)
            self._link(found.machine.living(), domid, nic, up=False)
            self._forget_addresses(domid, nic)
        self._hypervisor.change(vm, lambda machine: machine.without_nic(vif.id))

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        found = self._hypervisor.find(vm)
        nic = found.machine.nic(vif.id)
        if nic is None:
            return
        name = bridge_of(network)
        if found.info is not None:
            mtu, up = nic.vif.mtu, nic.vif.carrier
            self._at_ends(
                found.machine.living(),
                found.info.domid,
                nic,
                lambda interface: self._hypervisor.dom0.join(interface, name, mtu, up=up),
            )
            self._write(nic_path(found.info.domid, nic), "bridge", name)
        self._set(vm, vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        """Set its other end down: netback tells no guest of it, but nothing passes."""
        found = self._hypervisor.find(vm)
        nic = found.machine.nic(vif.id)
        if nic is None:
            return
        if found.info is not None:
            self._write(nic_path(found.info.domid, nic), "disconnect", "0" if carrier else "1")
            self._hypervisor.dom0.set_up(interface_name(found.info.domid, nic.vif.position), up=carrier)
            self._link(found.machine.living(), found.info.domid, nic, up=carrier)
        self._set(vm, vif, carrier=carrier)

    @override
    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        """What is on its way passes; from the next frame on the new mode holds."""
        self._restrict(vm, vif, locking_mode=mode)

    @override
    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        """From the next frame on these VLANs pass; none: all."""
        self._restrict(vm, vif, trunks=tuple(trunks))

    @override
    def set_ipv4_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv4Configuration
    ) -> None:
        """The guest's agent finds it in xenstore."""
        self._configure(vm, vif, ipv4_configuration=configuration)

    @override
    def set_ipv6_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv6Configuration
    ) -> None:
        """As for IPv4."""
        self._configure(vm, vif, ipv6_configuration=configuration)

    @override
    def _end_of(self, machine: Machine, vif: Vif) -> str | None:
        domain = machine.domain
        return None if domain is None or domain.domid is None else interface_name(domain.domid, vif.position)

    def _restrict(self, vm: VmId, vif: Vif, **fields: object) -> None:
        """Errors: those of `port_rules`."""
        found = self._hypervisor.find(vm)
        nic = found.machine.nic(vif.id)
        if nic is None:
            return
        rules = rules_of(vif.id.device, nic.vif.model_copy(update=fields))
        if found.info is not None:
            self._at_ends(
                found.machine.living(),
                found.info.domid,
                nic,
                lambda interface: self._hypervisor.dom0.restrict(replace(rules, tap=interface)),
            )
        self._set(vm, vif, **fields)

    def _at_ends(self, domain: Domain, domid: int, nic: Nic, act: Callable[[str], None]) -> None:
        """Do something to all ends of an interface in the control domain."""
        act(interface_name(domid, nic.vif.position))
        self._at_card(domain, domid, nic, act)

    def _at_card(self, domain: Domain, domid: int, nic: Nic, act: Callable[[str], None]) -> None:
        """Do something to the end of an emulated card, if there is one.

        A guest that finds drivers of Xen's puts its cards away, at any moment, and their ends go with them.
        """
        tap, dom0 = tap_name(domid, nic.vif.position), self._hypervisor.dom0
        if not domain.is_hvm or not dom0.has_interface(tap):
            return
        try:
            act(tap)
        except XenopsError:
            if dom0.has_interface(tap):
                raise

    def _link(self, domain: Domain, domid: int, nic: Nic, *, up: bool) -> None:
        """Plug the cable of an emulated card in, or out."""

        def act(tap: str) -> None:
            self._hypervisor.dom0.set_up(tap, up=up)
            card = Card(nic.vif.position, nic.vif.mac)
            self._hypervisor.emulators.do(domid, "set_link", {"name": card.id, "up": up})

        self._at_card(domain, domid, nic, act)

    def _forget_addresses(self, domid: int, nic: Nic) -> None:
        if address_nodes(domid, nic.vif):
            self._hypervisor.store.remove([addresses_path(domid, nic.vif.position)])

    def _configure(self, vm: VmId, vif: Vif, **fields: object) -> None:
        """Errors: those of `address_nodes`."""
        found = self._hypervisor.find(vm)
        nic = found.machine.nic(vif.id)
        if nic is None:
            return
        if found.info is not None:
            nodes = address_nodes(found.info.domid, nic.but(**fields).vif)
            path = addresses_path(found.info.domid, nic.vif.position)
            self._hypervisor.store.replace([path], nodes)
        self._set(vm, vif, **fields)

    def _give(self, domid: int, nic: Nic, execution: Execution) -> None:
        """Both ends, then the bridge, then the word to netback that it may connect."""
        device, vif = nic_path(domid, nic), nic.vif
        interface, name = interface_name(domid, vif.position), bridge_of(vif.backend)
        nodes = (*_nodes(device, vif, name), *address_nodes(domid, vif))
        self._ends.make(device, nodes, lambda: True, execution)
        try:
            self._ends.await_backend(device, execution)
            self._await_interface(interface, execution)
            rules = rules_of(interface, vif)
            if not rules.is_open:
                self._hypervisor.dom0.restrict(rules)  # before the first frame can pass
            self._hypervisor.dom0.join(interface, name, vif.mtu, up=vif.carrier)
            self._write(device, "hotplug-status", "connected")
        except BaseException:
            self._ends.remove(device)
            raise

    def _await_interface(self, interface: str, execution: Execution) -> None:
        deadline = time.monotonic() + DRIVER_TIMEOUT_S
        while not self._hypervisor.dom0.has_interface(interface):
            if time.monotonic() > deadline:
                raise internal_error(
                    f"netback has not made {interface} within {DRIVER_TIMEOUT_S:g} s: see the kernel's log"
                )
            execution.wait(_POLL_S)

    def _write(self, device: DevicePath, name: str, value: str) -> None:
        self._hypervisor.store.write([Node(f"{device.backend}/{name}", value)])


def _nodes(device: DevicePath, vif: Vif, name: str) -> Iterable[Node]:
    return nic_nodes(
        NicNode(
            device=device,
            mac=vif.mac,
            bridge=name,
            mtu=vif.mtu,
            rate=vif.rate,
            has_carrier=vif.carrier,
            frontend_keys=vif.extra_private_keys,
        )
    )
