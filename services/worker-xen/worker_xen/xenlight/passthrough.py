"""The verbs on PCI devices, by pciback; virtual GPUs and USB devices cannot be given to a VM yet."""

from collections.abc import Sequence

from engine.backend import Execution, PciVerbs, VgpuVerbs, VusbVerbs
from engine.halted import UNPLUGGED_VGPU, UNPLUGGED_VUSB
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.errors import AlreadyExists, Unimplemented
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.vgpu import Vgpu, VgpuState
from schema.objects.vusb import Vusb, VusbState
from typing_extensions import override

from worker_xen.xenlight.config import pci_config
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import with_pci
from worker_xen.xenlight.values import Device


class XenlightPcis(PciVerbs):
    """`PciVerbs` on libxl."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def get_state(self, vm: VmId, pci: Pci) -> PciState:
        domain = self._hypervisor.look(vm).domain
        return PciState(plugged=domain is not None and any(other.id == pci.id for other in domain.pcis))

    @override
    def plug(self, execution: Execution, vm: VmId, pci: Pci, *, use_qmp: bool) -> None:
        """Take the device from dom0's driver and give it to the domain."""
        execution.check_cancelled()
        domain, domid = self._hypervisor.running(vm)
        if any(other.id == pci.id for other in domain.pcis):
            return
        if any(other.position == pci.position for other in domain.pcis):
            raise XenopsError(AlreadyExists(klass="pci", id=str(pci.position)))
        device = _device(pci)
        with spoken(execution):
            self._hypervisor.libxl.make_assignable(device.config)
            self._hypervisor.libxl.add_device(domid, device, execution.cancellable)
        self._hypervisor.change(vm, lambda machine: with_pci(machine, pci, there=True))

    @override
    def unplug(self, execution: Execution, vm: VmId, pci: Pci) -> None:
        domain = self._hypervisor.look(vm).domain
        if domain is None or all(other.id != pci.id for other in domain.pcis):
            return
        if domain.domid is not None:
            with spoken():
                self._hypervisor.libxl.remove_device(domain.domid, _device(pci), force=True)
        self._hypervisor.change(vm, lambda machine: with_pci(machine, pci, there=False))

    @override
    def wants_unplug(self, vm: VmId, pci: Pci) -> bool:
        """No guest asks."""
        return False

    @override
    def dequarantine(self, address: PciAddress) -> None:
        """None is in quarantine."""


class XenlightVgpus(VgpuVerbs):
    """`VgpuVerbs` on libxl."""

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


class XenlightVusbs(VusbVerbs):
    """`VusbVerbs` on libxl."""

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


def _device(pci: Pci) -> Device:
    config = pci_config(
        pci.address,
        msi_translate=pci.msitranslate is not False,
        power_management=pci.power_mgmt is True,
    )
    return Device("pci", config)
