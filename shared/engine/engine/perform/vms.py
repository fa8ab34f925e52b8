"""Atomics on VMs."""

import time
from typing import Any

from schema.atomics.vm import (
    VmAtomic,
    VmBuild,
    VmCreate,
    VmCreateDeviceModel,
    VmDelay,
    VmDestroy,
    VmDestroyDeviceModel,
    VmFastResume,
    VmHookScript,
    VmHookScriptStable,
    VmImportMetadata,
    VmPause,
    VmRemove,
    VmRename,
    VmRequestRdp,
    VmRestore,
    VmRunScript,
    VmS3resume,
    VmS3suspend,
    VmSave,
    VmSetDomainActionRequest,
    VmSetMemoryDynamicRange,
    VmSetShadowMultiplier,
    VmSetVcpus,
    VmSetXsdata,
    VmShutdownDomain,
    VmSoftreboot,
    VmUnpause,
)
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.dynamic import VgpuObject, VmObject, VusbObject
from schema.objects.errors import (
    BadPowerState,
    FailedToAcknowledgeShutdownRequest,
    FailedToShutdown,
    InvalidVcpus,
)
from schema.objects.metadata import Metadata
from schema.objects.vm import PowerState, Pv, Vm

from engine.backend import CreateOptions, Execution
from engine.hooks import HookCall
from engine.perform.scene import Scene

ACKNOWLEDGE_TIMEOUT_S = 60.0
"""How long a guest may take to acknowledge that it was asked to shut down; as in the original."""

_LIVE = (PowerState.RUNNING, PowerState.PAUSED)

_Metadata = VmRemove | VmRename | VmImportMetadata | VmHookScript | VmHookScriptStable | VmDelay
_Settings = (
    VmSetXsdata
    | VmSetVcpus
    | VmSetShadowMultiplier
    | VmSetMemoryDynamicRange
    | VmSetDomainActionRequest
    | VmRequestRdp
    | VmRunScript
)


def perform_on_vm(scene: Scene, atomic: VmAtomic, execution: Execution) -> Any:
    """Perform one; answers the wire value that a script gave, else None. Errors are the verb's."""
    if isinstance(atomic, _Metadata):
        _perform_around_vm(scene, atomic, execution)
        return None
    with scene.changing_vm(atomic.vm) as vm:
        if isinstance(atomic, _Settings):
            return _perform_setting(scene, atomic, vm, execution)
        _perform_on_domain(scene, atomic, vm, execution)
        return None


def _perform_around_vm(scene: Scene, atomic: _Metadata, execution: Execution) -> None:
    match atomic:
        case VmHookScript(vm=vm, hook=hook, reason=reason):
            arguments = scene.backend.vm.get_hook_args(vm)
            scene.hooks.run(execution, HookCall(hook, vm, reason, arguments))
        case VmHookScriptStable(vm=vm, hook=hook, reason=reason, stable=stable):
            arguments = scene.backend.vm.get_hook_args(stable)
            scene.hooks.run(execution, HookCall(hook, vm, reason, arguments))
        case VmDelay(delay_s=delay_s):
            execution.wait(delay_s)
        case VmRemove(vm=vm):
            remove_vm(scene, vm)
        case VmRename(vm=vm, name=name, when=when):
            scene.backend.vm.rename(vm, name, when)
            scene.store.rename(vm, name)
        case VmImportMetadata(vm=vm, metadata=metadata):
            import_vm(scene, vm, metadata)


def remove_vm(scene: Scene, id_: VmId) -> None:
    """Forget a VM. Errors: `Bad_power_state` while it lives."""
    vm = scene.vm(id_)
    found = scene.backend.vm.get_state(vm).power_state
    if found in _LIVE:
        raise XenopsError(BadPowerState(found=found, expected=PowerState.HALTED))
    scene.backend.vm.remove(vm)
    scene.store.remove(id_)


def import_vm(scene: Scene, id_: VmId, metadata: Metadata) -> None:
    """Store a VM and its devices in place of what was stored under that id."""
    vm = metadata.vm.model_copy(update={"id": id_, "platformdata": _with_features(scene, metadata.vm)})
    scene.store.write(vm)
    tables = (
        (scene.store.vbds, metadata.vbds),
        (scene.store.vifs, metadata.vifs),
        (scene.store.pcis, metadata.pcis),
        (scene.store.vgpus, metadata.vgpus),
        (scene.store.vusbs, metadata.vusbs),
    )
    for table, devices in tables:
        named = [device.model_copy(update={"id": device.id._replace(vm=id_)}) for device in devices]
        for gone in set(table.ids(id_)) - {device.id for device in named}:
            table.remove(gone)
        for device in named:
            table.write(device)  # type: ignore[arg-type]
    scene.backend.vm.add(vm)
    scene.signal(VmObject(id=id_))


def _with_features(scene: Scene, vm: Vm) -> tuple[tuple[str, str], ...]:
    """A VM that does not say which CPU features it may use gets all of this host; as in the original."""
    if any(key == "featureset" for key, _ in vm.platformdata):
        return vm.platformdata
    cpu = scene.backend.host.stat().cpu_info
    features = cpu.features_pv if isinstance(vm.ty, Pv) else cpu.features_hvm
    return (("featureset", features), *vm.platformdata)


def _perform_setting(scene: Scene, atomic: _Settings, vm: Vm, execution: Execution) -> Any:
    verbs = scene.backend.vm
    match atomic:
        case VmSetXsdata(xsdata=xsdata):
            verbs.set_xsdata(execution, vm, xsdata)
        case VmSetVcpus(vcpus=vcpus):
            if not 1 <= vcpus <= vm.vcpu_max:
                raise XenopsError(InvalidVcpus(count=vm.vcpu_max))
            verbs.set_vcpus(execution, vm, vcpus)
        case VmSetShadowMultiplier(multiplier=multiplier):
            verbs.set_shadow_multiplier(execution, vm, multiplier)
        case VmSetMemoryDynamicRange(minimum_bytes=minimum, maximum_bytes=maximum):
            verbs.set_memory_dynamic_range(execution, vm, minimum, maximum)
        case VmSetDomainActionRequest(action=action):
            verbs.set_domain_action_request(vm, action)
        case VmRequestRdp(enabled=enabled):
            verbs.request_rdp(vm, enabled=enabled)
        case VmRunScript(script=script):
            return verbs.run_script(execution, vm, script)
    return None


_OnDomain = (
    VmCreate
    | VmBuild
    | VmCreateDeviceModel
    | VmDestroyDeviceModel
    | VmDestroy
    | VmPause
    | VmUnpause
    | VmShutdownDomain
    | VmS3suspend
    | VmS3resume
    | VmSave
    | VmRestore
    | VmFastResume
    | VmSoftreboot
)


def _perform_on_domain(scene: Scene, atomic: _OnDomain, vm: Vm, execution: Execution) -> None:
    verbs = scene.backend.vm
    match atomic:
        case VmCreate() | VmBuild() | VmCreateDeviceModel() | VmRestore():
            _make_domain(scene, atomic, vm, execution)
        case VmDestroyDeviceModel():
            verbs.destroy_device_model(execution, vm)
        case VmDestroy():
            verbs.destroy(execution, vm)
        case VmPause():
            verbs.pause(execution, vm)
        case VmUnpause():
            if verbs.get_state(vm).power_state is PowerState.PAUSED:
                verbs.unpause(execution, vm)
        case VmShutdownDomain():
            _shut_down(scene, atomic, vm, execution)
        case VmS3suspend():
            verbs.s3suspend(execution, vm)
        case VmS3resume():
            verbs.s3resume(execution, vm)
        case VmSave(image=image, live=live):
            verbs.save(execution, vm, image, live=live)
        case VmFastResume():
            verbs.resume(execution, vm)
        case VmSoftreboot():
            verbs.soft_reset(execution, vm)


def _make_domain(
    scene: Scene, atomic: VmCreate | VmBuild | VmCreateDeviceModel | VmRestore, vm: Vm, execution: Execution
) -> None:
    verbs = scene.backend.vm
    devices = scene.store.devices(vm.id)
    match atomic:
        case VmCreate():
            options = CreateOptions(atomic.memory_upper_bound_bytes, atomic.final, atomic.no_sharept)
            verbs.create(execution, vm, devices, options)
        case VmBuild(force=force):
            verbs.build(execution, vm, devices, force=force)
        case VmRestore(image=image):
            verbs.restore(execution, vm, devices, image)
        case VmCreateDeviceModel(save_state=save_state):
            verbs.create_device_model(execution, vm, devices, save_state=save_state)
            for vgpu in devices.vgpus:
                scene.signal(VgpuObject(id=vgpu.id))
            for vusb in devices.vusbs:
                scene.signal(VusbObject(id=vusb.id))


def _shut_down(scene: Scene, atomic: VmShutdownDomain, vm: Vm, execution: Execution) -> None:
    """Ask the guest and wait; the acknowledgement comes soon or the guest does not listen."""
    verbs = scene.backend.vm
    begun = time.monotonic()
    patience_s = min(ACKNOWLEDGE_TIMEOUT_S, atomic.timeout_s)
    if not verbs.request_shutdown(execution, vm, atomic.request, patience_s):
        raise XenopsError(FailedToAcknowledgeShutdownRequest())
    remaining_s = max(0.0, atomic.timeout_s - (time.monotonic() - begun))
    if not verbs.wait_shutdown(execution, vm, atomic.request, remaining_s):
        raise XenopsError(FailedToShutdown(vm=vm.id, timeout_s=atomic.timeout_s))
