"""Atomics on VMs."""

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
from schema.objects.dynamic import VgpuObject, VusbObject
from schema.objects.errors import (
    FailedToAcknowledgeShutdownRequest,
    FailedToShutdown,
    InvalidVcpus,
)
from schema.objects.vm import PowerState, Vm

from engine.backend import CreateOptions, Execution
from engine.hooks import HookCall
from engine.perform.context import Context
from engine.perform.metadata import import_vm, remove_vm

ACKNOWLEDGE_TIMEOUT_S = 60.0
"""How long a guest may take to acknowledge that it was asked to shut down; as in the original."""

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


def perform_on_vm(context: Context, atomic: VmAtomic, execution: Execution) -> Any:
    """Perform one; answers the wire value that a script gave, else None. Errors are the verb's."""
    if isinstance(atomic, _Metadata):
        _perform_around_vm(context, atomic, execution)
        return None
    with context.changing_vm(atomic.vm) as vm:
        if isinstance(atomic, _Settings):
            return _perform_setting(context, atomic, vm, execution)
        _perform_on_domain(context, atomic, vm, execution)
        return None


def _perform_around_vm(context: Context, atomic: _Metadata, execution: Execution) -> None:
    match atomic:
        case VmHookScript(vm=vm, hook=hook, reason=reason):
            arguments = context.backend.vm.get_hook_args(vm)
            context.hooks.run(execution, HookCall(hook, vm, reason, arguments))
        case VmHookScriptStable(vm=vm, hook=hook, reason=reason, stable=stable):
            arguments = context.backend.vm.get_hook_args(stable)
            context.hooks.run(execution, HookCall(hook, vm, reason, arguments))
        case VmDelay():
            pass  # waited for before the plan was begun, without a thread (see `engine.worker.parking`)
        case VmRemove(vm=vm):
            remove_vm(context, vm)
        case VmRename(vm=vm, name=name, when=when):
            context.backend.vm.rename(vm, name, when)
            context.store.rename(vm, name)
        case VmImportMetadata(vm=vm, metadata=metadata):
            import_vm(context, vm, metadata)


def _perform_setting(context: Context, atomic: _Settings, vm: Vm, execution: Execution) -> Any:
    verbs = context.backend.vm
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


def _perform_on_domain(context: Context, atomic: _OnDomain, vm: Vm, execution: Execution) -> None:
    verbs = context.backend.vm
    match atomic:
        case VmCreate() | VmBuild() | VmCreateDeviceModel() | VmRestore():
            _make_domain(context, atomic, vm, execution)
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
            _shut_down(context, atomic, vm, execution)
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
    context: Context,
    atomic: VmCreate | VmBuild | VmCreateDeviceModel | VmRestore,
    vm: Vm,
    execution: Execution,
) -> None:
    verbs = context.backend.vm
    devices = context.store.devices(vm.id)
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
                context.signal(VgpuObject(id=vgpu.id))
            for vusb in devices.vusbs:
                context.signal(VusbObject(id=vusb.id))


def _shut_down(context: Context, atomic: VmShutdownDomain, vm: Vm, execution: Execution) -> None:
    """Ask the guest and wait; the acknowledgement comes soon or the guest does not listen."""
    verbs = context.backend.vm
    begun = context.clock.monotonic()
    patience_s = min(ACKNOWLEDGE_TIMEOUT_S, atomic.timeout_s)
    if not verbs.request_shutdown(execution, vm, atomic.request, patience_s):
        raise XenopsError(FailedToAcknowledgeShutdownRequest())
    remaining_s = max(0.0, atomic.timeout_s - (context.clock.monotonic() - begun))
    if not verbs.wait_shutdown(execution, vm, atomic.request, remaining_s):
        raise XenopsError(FailedToShutdown(vm=vm.id, timeout_s=atomic.timeout_s))
