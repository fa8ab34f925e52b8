"""The verbs on PCI devices, virtual GPUs and USB devices: classic gives none to a VM yet."""

from collections.abc import Sequence

from engine.backend import Execution, PciVerbs, VgpuVerbs, VusbVerbs
from engine.halted import UNPLUGGED_PCI, UNPLUGGED_VGPU, UNPLUGGED_VUSB
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.errors import Unimplemented
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vusb import Vusb, VusbState
from typing_extensions import override


class ClassicPcis(PciVerbs):
    """`PciVerbs` on Xen by libxc."""

    @override
    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        return UNPLUGGED_PCI

    @override
    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        raise XenopsError(Unimplemented(what="PCI.plug"))

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


class ClassicVgpus(VgpuVerbs):
    """`VgpuVerbs` on Xen by libxc."""

    @override
    def start(self, execution: Execution, vm: VmId, vgpus: Sequence[Vgpu], *, saved: bool) -> None:
        if vgpus:
            raise XenopsError(Unimplemented(what="VGPU.start"))

    @override
    def set_active(self, execution: Execution, vm: VmId, vgpu: Vgpu, *, active: bool) -> None:
        if active:
            raise XenopsError(Unimplemented(what="VGPU.set_active"))

    @override
    def get_state(self, vm: VmId, vgpu: Vgpu) -> VgpuState:
        return UNPLUGGED_VGPU


class ClassicVusbs(VusbVerbs):
    """`VusbVerbs` on Xen by libxc."""

    @override
    def plug(self, execution: Execution, vm: VmId, vusb: Vusb) -> None:
        raise XenopsError(Unimplemented(what="VUSB.plug"))

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
