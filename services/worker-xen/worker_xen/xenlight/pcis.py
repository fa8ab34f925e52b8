"""The verbs on PCI devices, by pciback."""

from engine.backend import Execution, PciVerbs
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.errors import AlreadyExists
from schema.objects.pci import Pci, PciAddress, PciState
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


def _device(pci: Pci) -> Device:
    config = pci_config(
        pci.address,
        msi_translate=pci.msitranslate is not False,
        power_management=pci.power_mgmt is True,
    )
    return Device("pci", config)
