"""The simulator's verbs on network interfaces: what is set on one that is not plugged has no effect."""

from collections.abc import Callable, Sequence
from typing import Any

from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.errors import AlreadyExists
from schema.objects.network import Network
from schema.objects.vif import Ipv4Configuration, Ipv6Configuration, LockingMode, PvsProxy, Vif, VifState
from typing_extensions import override

from engine.backend import Execution, VifVerbs
from engine.holding import find, replacing, with_or_without, without
from engine.simulator.hypervisor import Hypervisor
from engine.simulator.machine import Machine
from engine.simulator.states import vif_state


class SimulatedVifs(VifVerbs):
    """`VifVerbs` of the simulator."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def set_active(self, execution: Execution, vm: VmId, vif: Vif, *, active: bool) -> None:
        self._change(
            execution,
            "VIF.set_active",
            vm,
            lambda machine: machine.but(active=with_or_without(machine.active, _name(vif), there=active)),
        )

    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        """Give the interface to the domain."""
        self._change(execution, "VIF.plug", vm, lambda machine: _plugged(machine, vif))

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None:
        """Take it away."""
        self._change(execution, "VIF.unplug", vm, lambda machine: _unplugged(machine, vif))

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None:
        self._set(execution, "VIF.move", vif, backend=network)

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        self._set(execution, "VIF.set_carrier", vif, carrier=carrier)

    @override
    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        self._set(execution, "VIF.set_locking_mode", vif, locking_mode=mode)

    @override
    def set_ipv4_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv4Configuration
    ) -> None:
        self._set(execution, "VIF.set_ipv4_configuration", vif, ipv4_configuration=configuration)

    @override
    def set_ipv6_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv6Configuration
    ) -> None:
        self._set(execution, "VIF.set_ipv6_configuration", vif, ipv6_configuration=configuration)

    @override
    def set_pvs_proxy(self, execution: Execution, vm: VmId, vif: Vif, proxy: PvsProxy | None) -> None:
        self._set(execution, "VIF.set_pvs_proxy", vif, pvs_proxy=proxy)

    @override
    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        self._set(execution, "VIF.set_trunks", vif, trunks=tuple(trunks))

    @override
    def get_state(self, vm: VmId, vif: Vif) -> VifState:
        return vif_state(self._hypervisor.look(vm), vif.id)

    @override
    def wants_unplug(self, vm: VmId, vif: Vif) -> bool:
        """Whether it was told to ask."""
        return _name(vif) in self._hypervisor.look(vm).leaving

    def _change(
        self, execution: Execution, verb: str, vm: VmId, change: Callable[[Machine], Machine]
    ) -> None:
        self._hypervisor.enter(execution, verb, vm)
        self._hypervisor.change(vm, change)

    def _set(self, execution: Execution, verb: str, vif: Vif, **fields: Any) -> None:
        """Set fields of the interface that the domain has, if it has it."""

        def changed(machine: Machine) -> Machine:
            vifs = machine.devices().vifs
            plugged = find(vifs, vif.id)
            if plugged is None:
                return machine
            return machine.with_domain(vifs=replacing(vifs, plugged.model_copy(update=fields)))

        self._change(execution, verb, VmId(vif.id[0]), changed)


def _name(vif: Vif) -> str:
    return f"vif.{vif.id[1]}"


def _plugged(machine: Machine, vif: Vif) -> Machine:
    domain = machine.living()
    if find(domain.vifs, vif.id) is not None:
        return machine
    if any(other.position == vif.position for other in domain.vifs):
        raise XenopsError(AlreadyExists(klass="vif", id=str(vif.position)))
    return machine.with_domain(vifs=(vif, *domain.vifs))


def _unplugged(machine: Machine, vif: Vif) -> Machine:
    if machine.domain is None:
        return machine
    return machine.but(leaving=with_or_without(machine.leaving, _name(vif), there=False)).with_domain(
        vifs=without(machine.domain.vifs, vif.id)
    )
