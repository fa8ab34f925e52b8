"""Checks: what a VM or a device needs that has changed by itself, or was touched by a failed operation."""

from collections.abc import Iterable

from schema.atomics import Atomic
from schema.atomics.pci import PciUnplug, VusbUnplug
from schema.atomics.vbd import VbdSetQos, VbdUnplug
from schema.atomics.vif import VifUnplug
from schema.atomics.vm import DomainAction, VmDelay, VmPause, VmSoftreboot
from schema.ids import VmId
from schema.objects.dynamic import (
    ObjectId,
    PciObject,
    TaskObject,
    VbdObject,
    VgpuObject,
    VifObject,
    VmObject,
    VusbObject,
)
from schema.objects.vm import PowerState, VmAction
from schema.operations import (
    AtomicOperation,
    Operation,
    PciCheckState,
    VbdCheckState,
    VifCheckState,
    VmCheckState,
    VmReboot,
    VmShutdown,
    VusbCheckState,
)

from engine.view import DeviceRequest, Situation, VmView

CRASHED_TOO_SOON_S = 120.0
"""A VM that crashes this soon after its start is not started again, but shut down; as in the original."""

REBOOT_DELAY_S = 15.0
"""How long a VM waits that reboots sooner than its backend likes; as in the original."""

DeviceCheck = PciCheckState | VbdCheckState | VifCheckState | VusbCheckState
"""Does what one device asks for."""

Check = VmCheckState | DeviceCheck
"""An operation that finds out by itself what there is to do."""

_LIVE = frozenset({PowerState.RUNNING, PowerState.PAUSED})


def check_of(changed: ObjectId) -> Check | None:
    """What is to be looked at when an object has changed by itself; nothing about some."""
    match changed:
        case VmObject(id=vm):
            return VmCheckState(vm=VmId(vm))
        case VbdObject(id=vbd):
            return VbdCheckState(id=vbd)
        case VifObject(id=vif):
            return VifCheckState(id=vif)
        case PciObject(id=pci):
            return PciCheckState(id=pci)
        case VusbObject(id=vusb):
            return VusbCheckState(id=vusb)
        case VgpuObject() | TaskObject():
            return None


def remedies(check: Check, view: VmView) -> tuple[Operation, ...]:
    """What is to be done, in order; nothing, if all is as it should be."""
    if isinstance(check, VmCheckState):
        return tuple(
            remedy for action in _actions(view) for remedy in _operations(check.vm, action, view.situation)
        )
    atomic = _device_remedy(check, _device_request(view.situation))
    return () if atomic is None else (AtomicOperation(atomic=atomic),)


def _actions(view: VmView) -> Iterable[VmAction]:
    """What the VM's configuration says that the domain's wish shall lead to."""
    match view.situation.domain_asks:
        case DomainAction.REBOOT:
            return view.vm.on_reboot
        case DomainAction.POWEROFF:
            return view.vm.on_shutdown
        case DomainAction.CRASHDUMP:
            return _after_crash(view)
        case DomainAction.SUSPEND:
            return (VmAction.SHUTDOWN,)
        case DomainAction.SOFTRESET:
            return view.vm.on_softreboot
        case None:
            return ()


def _after_crash(view: VmView) -> Iterable[VmAction]:
    if view.situation.run_time_s >= CRASHED_TOO_SOON_S:
        return view.vm.on_crash
    return (VmAction.SHUTDOWN if action is VmAction.START else action for action in view.vm.on_crash)


def _operations(vm: VmId, action: VmAction, situation: Situation) -> tuple[Operation, ...]:
    match action:
        case VmAction.COREDUMP:
            return ()
        case VmAction.SHUTDOWN:
            return (VmShutdown(vm=vm),)
        case VmAction.START:
            return (*_reboot_delay(vm, situation), VmReboot(vm=vm))
        case VmAction.PAUSE:
            return (AtomicOperation(atomic=VmPause(vm=vm)),)
        case VmAction.SOFTREBOOT:
            return (AtomicOperation(atomic=VmSoftreboot(vm=vm)),)


def _reboot_delay(vm: VmId, situation: Situation) -> tuple[Operation, ...]:
    if situation.run_time_s >= situation.minimum_reboot_delay_s:
        return ()
    return (AtomicOperation(atomic=VmDelay(vm=vm, delay_s=REBOOT_DELAY_S)),)


def _device_request(situation: Situation) -> DeviceRequest | None:
    """A device of a VM without a live domain is to be unplugged, whatever it asks for."""
    return situation.device_asks if situation.power_state in _LIVE else DeviceRequest.UNPLUG


def _device_remedy(check: DeviceCheck, request: DeviceRequest | None) -> Atomic | None:
    match request:
        case DeviceRequest.UNPLUG:
            return _unplug(check)
        case DeviceRequest.SET_QOS:
            return VbdSetQos(id=check.id) if isinstance(check, VbdCheckState) else None
        case None:
            return None


def _unplug(check: DeviceCheck) -> Atomic:
    match check:
        case PciCheckState(id=device):
            return PciUnplug(id=device)
        case VbdCheckState(id=device):
            return VbdUnplug(id=device, force=True)
        case VifCheckState(id=device):
            return VifUnplug(id=device, force=True)
        case VusbCheckState(id=device):
            return VusbUnplug(id=device)
