"""Owed: which checks follow on the failure of an operation.

Nothing is rolled back. What the operation touched is checked, and the check does what is needed for a state
that an operator recognises.
"""

from schema.atomics import Atomic
from schema.atomics.pci import (
    PciDequarantine,
    PciPlug,
    PciUnplug,
    VgpuSetActive,
    VgpuStart,
    VusbPlug,
    VusbUnplug,
)
from schema.atomics.vbd import VbdStep
from schema.atomics.vif import VifStep
from schema.atomics.vm import VmImportMetadata, VmRename
from schema.ids import VmId
from schema.migration import departing_id
from schema.operations import (
    AtomicOperation,
    Operation,
    PciCheckState,
    VbdCheckState,
    VbdHotplug,
    VbdHotunplug,
    VifCheckState,
    VifHotplug,
    VifHotunplug,
    VmCheckState,
    VmMigrate,
    VmReceiveMemory,
    VusbCheckState,
)

from engine.check import Check


def owed_checks(operation: Operation) -> tuple[Check, ...]:
    """What to check after `operation` has failed, in order; after a check nothing, lest it never ends."""
    match operation:
        case VmCheckState() | PciCheckState() | VbdCheckState() | VifCheckState() | VusbCheckState():
            return ()
        case VbdHotplug(id=vbd) | VbdHotunplug(id=vbd):
            return (VbdCheckState(id=vbd),)
        case VifHotplug(id=vif) | VifHotunplug(id=vif):
            return (VifCheckState(id=vif),)
        case VmMigrate(vm=vm):
            return _vms(vm, departing_id(vm))
        case VmReceiveMemory(vm=vm, final=final):
            return _vms(vm, final)
        case AtomicOperation(atomic=atomic):
            return _after_atomic(atomic)
        case _:  # all the others are about a VM: the type checker knows
            return _vms(operation.vm)


def _after_atomic(atomic: Atomic) -> tuple[Check, ...]:
    if isinstance(atomic, VbdStep):
        return (VbdCheckState(id=atomic.id),)
    if isinstance(atomic, VifStep):
        return (VifCheckState(id=atomic.id),)
    match atomic:
        case PciPlug(id=pci) | PciUnplug(id=pci):
            return (PciCheckState(id=pci),)
        case VusbPlug(id=vusb) | VusbUnplug(id=vusb):
            return (VusbCheckState(id=vusb),)
        case VgpuSetActive(id=vgpu):
            return _vms(VmId(vgpu.vm))
        case VgpuStart(ids=vgpus):
            return _vms(*(VmId(vgpu.vm) for vgpu in vgpus[:1]))
        case VmRename(vm=vm, name=name):
            return _vms(vm, name)
        case PciDequarantine() | VmImportMetadata():
            return ()
        case _:  # all the others are about a VM: the type checker knows
            return _vms(atomic.vm)


def _vms(*vms: VmId) -> tuple[Check, ...]:
    return tuple(VmCheckState(vm=vm) for vm in vms)
