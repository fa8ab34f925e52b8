"""Viewing: gathers all that planning needs to know of a VM."""

from schema.atomics.vm import DomainAction, VmImportMetadata
from schema.ids import VmId
from schema.objects.vm import PowerState, Vm
from schema.operations import (
    AtomicOperation,
    Operation,
    PciCheckState,
    VbdCheckState,
    VifCheckState,
    VmCheckState,
    VusbCheckState,
)

from engine.backend import Devices
from engine.plan import DeviceRequest, Situation, VmView
from engine.worker.tools import Tools


def view_of(operation: Operation, vm: VmId, tools: Tools) -> VmView:
    """All that planning needs to know. Errors: `Does_not_exist` for an unknown VM."""
    if isinstance(operation, AtomicOperation) and isinstance(operation.atomic, VmImportMetadata):
        return VmView(operation.atomic.metadata.vm, Devices())
    found = tools.store.read(vm)
    state = tools.backend.vm.get_state(found)
    situation = Situation(
        power_state=state.power_state,
        domain_asks=_domain_asks(operation, found, tools),
        device_asks=_device_asks(operation, vm, state.power_state, tools),
        run_time_s=max(0.0, tools.threads.clock.now() - state.last_start_time),
        minimum_reboot_delay_s=tools.backend.vm.minimum_reboot_delay_s,
    )
    return VmView(found, tools.store.devices(vm), situation)


def _domain_asks(operation: Operation, vm: Vm, tools: Tools) -> DomainAction | None:
    """What the domain wants, which only a check of its VM does something about."""
    return tools.backend.vm.get_domain_action_request(vm) if isinstance(operation, VmCheckState) else None


def _device_asks(operation: Operation, vm: VmId, state: PowerState, tools: Tools) -> DeviceRequest | None:
    """What the device that a check is about wants; one of a VM that is not alive is not asked."""
    if state not in (PowerState.RUNNING, PowerState.PAUSED):
        return None
    store, backend = tools.store, tools.backend
    match operation:
        case VbdCheckState(id=vbd):
            disk = store.vbds.read(vbd)
            if backend.vbd.wants_unplug(vm, disk):
                return DeviceRequest.UNPLUG
            return DeviceRequest.SET_QOS if backend.vbd.wants_qos(vm, disk) else None
        case VifCheckState(id=vif):
            wants = backend.vif.wants_unplug(vm, store.vifs.read(vif))
        case PciCheckState(id=pci):
            wants = backend.pci.wants_unplug(vm, store.pcis.read(pci))
        case VusbCheckState(id=vusb):
            wants = backend.vusb.wants_unplug(vm, store.vusbs.read(vusb))
        case _:
            return None
    return DeviceRequest.UNPLUG if wants else None
