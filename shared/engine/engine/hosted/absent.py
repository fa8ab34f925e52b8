"""Absent: the verbs on devices of kinds that a backend gives to no VM; asked for one, it says so."""

from collections.abc import Sequence

from schema.fault import unimplemented
from schema.ids import VmId
from schema.objects.halted import UNPLUGGED_PCI, UNPLUGGED_VGPU, UNPLUGGED_VUSB
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vusb import Vusb, VusbState
from typing_extensions import override

from engine.backend import Execution, PciVerbs, VgpuVerbs, VusbVerbs


class NoPcis(PciVerbs):
    """`PciVerbs` of a backend without PCI devices."""

    @override
    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        return UNPLUGGED_PCI

    @override
    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        raise unimplemented("PCI.plug")

    @override
    def unplug(self, execution: Execution, vm: VmId, pci: Pci) -> None:
        """None is plugged."""

    @override
    def wants_unplug(self, vm: VmId, pci: Pci) -> bool:
        """None is plugged."""
        return False

    @override
    def dequarantine(self, address: PciAddress) -> None:
        """None is in quarantine."""


class NoVgpus(VgpuVerbs):
    """`VgpuVerbs` of a backend without virtual GPUs."""

    @override
    def start(self, execution: Execution, vm: VmId, vgpus: Sequence[Vgpu], *, saved: bool) -> None:
        if vgpus:
            raise unimplemented("VGPU.start")

    @override
    def set_active(self, execution: Execution, vm: VmId, vgpu: Vgpu, *, active: bool) -> None:
        if active:
            raise unimplemented("VGPU.set_active")

    @override
    def get_state(self, vm: VmId, vgpu: Vgpu) -> VgpuState:
        return UNPLUGGED_VGPU


class NoVusbs(VusbVerbs):
    """`VusbVerbs` of a backend without USB devices."""

    @override
    def plug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        raise unimplemented("VUSB.plug")

    @override
    def unplug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        """None is plugged."""

    @override
    def get_state(self, vm: VmId, vusb: Vusb) -> VusbState:
        return UNPLUGGED_VUSB

    @override
    def wants_unplug(self, vm: VmId, vusb: Vusb) -> bool:
        """None is plugged."""
        return False
