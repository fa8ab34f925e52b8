"""Atomics on disks."""

from schema.atomics.vbd import (
    VbdActivate,
    VbdAtomic,
    VbdAttach,
    VbdDeactivate,
    VbdDetach,
    VbdEject,
    VbdEpochBegin,
    VbdEpochEnd,
    VbdInsert,
    VbdPlug,
    VbdSetActive,
    VbdSetQos,
    VbdUnplug,
)
from schema.fault import XenopsError
from schema.ids import DeviceId, VmId
from schema.objects.dynamic import VbdObject
from schema.objects.errors import BadPowerState, MediaNotEjectable
from schema.objects.vbd import VbdType
from schema.objects.vm import PowerState

from engine.backend import Execution
from engine.perform.context import Context

_LIVE = (PowerState.RUNNING, PowerState.PAUSED)


def perform_on_disk(context: Context, atomic: VbdAtomic, execution: Execution) -> None:
    """Perform one; errors are the verb's."""
    verbs = context.backend.vbd
    if isinstance(atomic, VbdEpochBegin):
        vm = VmId(atomic.id.vm)
        verbs.epoch_begin(execution, vm, atomic.disk, persistent=atomic.persistent)
        return
    if isinstance(atomic, VbdEpochEnd):
        verbs.epoch_end(execution, VmId(atomic.id.vm), atomic.disk)
        return
    with context.changing(VbdObject, atomic.id) as vm:
        vbd = context.store.vbds.read(atomic.id)
        match atomic:
            case VbdPlug():
                verbs.attach(execution, vm, vbd)
                verbs.activate(execution, vm, vbd)
            case VbdAttach():
                verbs.attach(execution, vm, vbd)
            case VbdActivate():
                verbs.activate(execution, vm, vbd)
            case VbdUnplug(force=force):
                verbs.deactivate(execution, vm, vbd, force=force)
                verbs.detach(execution, vm, vbd)
            case VbdDeactivate(force=force):
                verbs.deactivate(execution, vm, vbd, force=force)
            case VbdDetach():
                verbs.detach(execution, vm, vbd)
            case VbdSetActive(active=active):
                verbs.set_active(execution, vm, vbd, active=active)
            case VbdSetQos():
                verbs.set_qos(execution, vm, vbd)
            case VbdInsert(disk=disk):
                _refuse_unless_live(context, atomic.id)
                verbs.insert(execution, vm, vbd, disk)
            case VbdEject():
                if vbd.ty is VbdType.DISK:
                    raise XenopsError(MediaNotEjectable())
                _refuse_unless_live(context, atomic.id)
                verbs.eject(execution, vm, vbd)


def _refuse_unless_live(context: Context, id_: DeviceId) -> None:
    """A medium changes in a drive that somebody uses; as in the original."""
    found = context.backend.vm.get_state(context.vm(VmId(id_.vm))).power_state
    if found not in _LIVE:
        raise XenopsError(BadPowerState(found=found, expected=PowerState.RUNNING))
