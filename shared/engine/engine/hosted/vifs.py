"""The verbs on network interfaces, as far as they go by what is noted."""

from abc import abstractmethod
from typing import Any, Generic

from schema.ids import VmId
from schema.objects.vif import Vif, VifState
from typing_extensions import override

from engine.backend import Execution
from engine.hosted.notes import HostT
from engine.hosted.states import vif_state
from engine.hosted.unrestricted import UnrestrictedVifs


class HostedVifs(UnrestrictedVifs, Generic[HostT]):
    """`VifVerbs` but for how a guest gets an interface and loses it, and what becomes of it meanwhile."""

    def __init__(self, hypervisor: HostT) -> None:
        self._hypervisor = hypervisor

    @abstractmethod
    def _end_of(self, machine: Any, vif: Vif) -> str | None:
        """The name of an interface's end on the host; None where it has none."""

    @override
    def set_active(self, execution: Execution, vm: VmId, vif: Vif, *, active: bool) -> None:
        """Note that the VM shall have it."""
        self._hypervisor.change(vm, lambda machine: machine.noting_active("vif", vif.id, active=active))

    @override
    def get_state(self, vm: VmId, vif: Vif) -> VifState:
        machine = self._hypervisor.look(vm)
        return vif_state(machine, vif.id, self._end_of(machine, vif))

    def _set(self, vm: VmId, vif: Vif, **fields: object) -> None:
        """Note what its interface is now, if it has it."""
        self._hypervisor.change(vm, lambda machine: machine.changing_nic(vif.id, **fields))
