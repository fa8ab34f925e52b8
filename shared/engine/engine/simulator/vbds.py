"""The simulator's verbs on disks: attached in order (see `check_plug_ordering`), then activated."""

from collections.abc import Callable
from typing import Final

from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.disk import BusType, DeviceNumber, Disk
from schema.objects.errors import AlreadyExists, DoesNotExist, MediaNotEjectable, MediaPresent
from schema.objects.vbd import Vbd, VbdMode, VbdState, VbdType
from typing_extensions import override

from engine.backend import Execution, VbdVerbs
from engine.holding import find, replacing, with_or_without, without
from engine.refusals import dotted
from engine.simulator.hypervisor import Hypervisor
from engine.simulator.machine import Machine
from engine.simulator.states import vbd_state

_IDE_DISKS: Final = 4
"""So many of an HVM guest's disks are on the IDE bus when nobody chose, as in the original."""


class SimulatedVbds(VbdVerbs):
    """`VbdVerbs` of the simulator."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def set_active(self, execution: Execution, vm: VmId, vbd: Vbd, *, active: bool) -> None:
        """Note that the VM shall have it."""
        self._change(
            execution,
            "VBD.set_active",
            vm,
            lambda machine: machine.but(active=with_or_without(machine.active, _name(vbd), there=active)),
        )

    @override
    def epoch_begin(self, execution: Execution, vm: VmId, disk: Disk, *, persistent: bool) -> None:
        """Nothing: simulated disks have no content."""
        self._hypervisor.enter(execution, "VBD.epoch_begin", vm)

    @override
    def epoch_end(self, execution: Execution, vm: VmId, disk: Disk) -> None:
        """Nothing."""
        self._hypervisor.enter(execution, "VBD.epoch_end", vm)

    @override
    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        self._change(execution, "VBD.attach", vm, lambda machine: _attached(machine, vbd))

    @override
    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        self._change(execution, "VBD.activate", vm, lambda machine: _activated(machine, vbd))

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the domain; no simulated guest refuses."""
        self._change(execution, "VBD.deactivate", vm, lambda machine: _deactivated(machine, vbd))

    @override
    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        self._change(execution, "VBD.detach", vm, lambda machine: _detached(machine, vbd))

    @override
    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: Disk) -> None:
        """Put a medium in."""

        def inserted(plugged: Vbd) -> Vbd:
            if plugged.backend not in {None, disk}:
                raise XenopsError(MediaPresent())
            return plugged.model_copy(update={"backend": disk})

        self._change_plugged(execution, "VBD.insert", vbd, inserted)

    @override
    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out."""
        if vbd.ty is VbdType.DISK:
            raise XenopsError(MediaNotEjectable())
        self._change_plugged(
            execution, "VBD.eject", vbd, lambda plugged: plugged.model_copy(update={"backend": None})
        )

    @override
    def set_qos(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Apply its I/O scheduling."""
        self._change_plugged(
            execution, "VBD.set_qos", vbd, lambda plugged: plugged.model_copy(update={"qos": vbd.qos})
        )

    @override
    def get_state(self, vm: VmId, vbd: Vbd) -> VbdState:
        return vbd_state(self._hypervisor.look(vm), vbd.id)

    @override
    def wants_unplug(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether it was told to ask."""
        return _name(vbd) in self._hypervisor.look(vm).leaving

    @override
    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether it was plugged with another I/O scheduling than is configured now."""
        plugged = find(self._hypervisor.look(vm).devices().vbds, vbd.id)
        return plugged is not None and plugged.qos != vbd.qos

    def _change(
        self, execution: Execution, verb: str, vm: VmId, change: Callable[[Machine], Machine]
    ) -> None:
        self._hypervisor.enter(execution, verb, vm)
        self._hypervisor.change(vm, change)

    def _change_plugged(
        self, execution: Execution, verb: str, vbd: Vbd, change: Callable[[Vbd], Vbd]
    ) -> None:
        """Change the disk that the domain has, if it has it."""

        def changed(machine: Machine) -> Machine:
            vbds = machine.devices().vbds
            plugged = find(vbds, vbd.id)
            return machine if plugged is None else machine.with_domain(vbds=replacing(vbds, change(plugged)))

        self._change(execution, verb, VmId(vbd.id[0]), changed)


def check_plug_ordering(machine: Machine) -> None:
    """DEBUG.trigger check-vbd-plug-ordering: read-write disks must have come before read-only ones.

    Errors: `Internal_error check-vbd-plug-ordering`, `Does_not_exist`.
    """
    modes = [vbd.mode for vbd in reversed(machine.living().vbds)]
    if modes != sorted(modes, key=lambda mode: mode is VbdMode.READ_ONLY):
        raise internal_error("check-vbd-plug-ordering")


def _name(vbd: Vbd) -> str:
    return f"vbd.{vbd.id[1]}"


def _attached(machine: Machine, vbd: Vbd) -> Machine:
    domain = machine.living()
    if find(domain.vbds, vbd.id) is not None:
        return machine
    taken = {other.position for other in domain.vbds}
    position = vbd.position or _next_position(domain.vbds, hvm=domain.hvm)
    if position in taken:
        bus, disk, partition = position
        raise XenopsError(AlreadyExists(klass="vbd", id=f"{bus}({disk}, {partition})"))
    return machine.with_domain(vbds=(vbd.model_copy(update={"position": position}), *domain.vbds))


def _next_position(vbds: tuple[Vbd, ...], *, hvm: bool) -> DeviceNumber:
    number = 1 + max((vbd.position[1] for vbd in vbds if vbd.position is not None), default=-1)
    return (BusType.IDE if hvm and number < _IDE_DISKS else BusType.XEN, number, 0)


def _activated(machine: Machine, vbd: Vbd) -> Machine:
    if find(machine.living().vbds, vbd.id) is None:
        raise XenopsError(DoesNotExist(klass="VBD", id=dotted(vbd.id)))
    return machine.but(activated=with_or_without(machine.activated, _name(vbd), there=True))


def _deactivated(machine: Machine, vbd: Vbd) -> Machine:
    return machine.but(
        activated=with_or_without(machine.activated, _name(vbd), there=False),
        leaving=with_or_without(machine.leaving, _name(vbd), there=False),
    )


def _detached(machine: Machine, vbd: Vbd) -> Machine:
    if machine.domain is None:
        return machine
    return _deactivated(machine, vbd).with_domain(vbds=without(machine.domain.vbds, vbd.id))
