"""The simulator's verbs on PCI devices, virtual GPUs and USB devices."""

from collections.abc import Sequence

from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.errors import AlreadyExists
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vusb import Vusb, VusbState
from typing_extensions import override

from engine.backend import Execution, PciVerbs, VgpuVerbs, VusbVerbs
from engine.holding import find, with_or_without, without
from engine.simulator.hypervisor import Hypervisor
from engine.simulator.machine import Machine
from engine.simulator.states import vgpu_state


class SimulatedPcis(PciVerbs):
    """`PciVerbs` of the simulator."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        return PciState(plugged=find(self._hypervisor.look(vm).devices().pcis, pci.id) is not None)

    @override
    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:

        def plugged(machine: Machine) -> Machine:
            domain = machine.living()
            if find(domain.pcis, pci.id) is not None:
                return machine
            if any(other.position == pci.position for other in domain.pcis):
                raise XenopsError(AlreadyExists(klass="pci", id=str(pci.position)))
            return machine.with_domain(pcis=(pci, *domain.pcis))

        self._hypervisor.enter(execution, "PCI.plug", vm)
        self._hypervisor.change(vm, plugged)

    @override
    def unplug(self, execution: Execution, vm: VmId, pci: Pci) -> None:
        """Take it away."""

        def unplugged(machine: Machine) -> Machine:
            if machine.domain is None:
                return machine
            return _asking_no_more(machine, f"pci.{pci.id[1]}").with_domain(
                pcis=without(machine.domain.pcis, pci.id)
            )

        self._hypervisor.enter(execution, "PCI.unplug", vm)
        self._hypervisor.change(vm, unplugged)

    @override
    def wants_unplug(self, vm: VmId, pci: Pci) -> bool:
        """Whether it was told to ask."""
        return f"pci.{pci.id[1]}" in self._hypervisor.look(vm).leaving

    @override
    def dequarantine(self, address: PciAddress) -> None:
        """Nothing: no simulated device is ever in quarantine."""


class SimulatedVgpus(VgpuVerbs):
    """`VgpuVerbs` of the simulator."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def start(self, execution: Execution, vm: VmId, vgpus: Sequence[Vgpu], *, saved: bool) -> None:
        """Give those to the domain that it has not yet."""

        def started(machine: Machine) -> Machine:
            there = machine.living().vgpus
            new = tuple(vgpu for vgpu in vgpus if find(there, vgpu.id) is None)
            return machine.with_domain(vgpus=(*new, *there))

        self._hypervisor.enter(execution, "VGPU.start", vm)
        self._hypervisor.change(vm, started)

    @override
    def set_active(self, execution: Execution, vm: VmId, vgpu: Vgpu, *, active: bool) -> None:
        name = f"vgpu.{vgpu.id[1]}"
        self._hypervisor.enter(execution, "VGPU.set_active", vm)
        self._hypervisor.change(
            vm, lambda machine: machine.but(active=with_or_without(machine.active, name, there=active))
        )

    @override
    def get_state(self, vm: VmId, vgpu: Vgpu) -> VgpuState:
        return vgpu_state(self._hypervisor.look(vm), vgpu.id)


class SimulatedVusbs(VusbVerbs):
    """`VusbVerbs` of the simulator."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def plug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:

        def plugged(machine: Machine) -> Machine:
            there = machine.living().vusbs
            return machine if find(there, vusb.id) else machine.with_domain(vusbs=(vusb, *there))

        self._hypervisor.enter(execution, "VUSB.plug", vm)
        self._hypervisor.change(vm, plugged)

    @override
    def unplug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """Take it away."""

        def unplugged(machine: Machine) -> Machine:
            if machine.domain is None:
                return machine
            return _asking_no_more(machine, f"vusb.{vusb.id[1]}").with_domain(
                vusbs=without(machine.domain.vusbs, vusb.id)
            )

        self._hypervisor.enter(execution, "VUSB.unplug", vm)
        self._hypervisor.change(vm, unplugged)

    @override
    def get_state(self, vm: VmId, vusb: Vusb) -> VusbState:
        return VusbState(plugged=find(self._hypervisor.look(vm).devices().vusbs, vusb.id) is not None)

    @override
    def wants_unplug(self, vm: VmId, vusb: Vusb) -> bool:
        """Whether it was told to ask."""
        return f"vusb.{vusb.id[1]}" in self._hypervisor.look(vm).leaving


def _asking_no_more(machine: Machine, name: str) -> Machine:
    return machine.but(leaving=with_or_without(machine.leaving, name, there=False))
