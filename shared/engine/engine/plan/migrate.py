"""Migrate: those parts of sending and receiving a VM that are plans; between them two hosts talk.

    source                                          destination
    ------                                          -----------
    assert that it can be saved; pre-migrate hook
    import the metadata there, as `arriving_id`     store it
    freeze_balloon, wait for the balloon
    PUT /migrate/vm/<arriving_id> --------------->  make_room
                                          1 <-----  (a failure: say why, forget what was made)
    PUT /migrate/mem/<arriving_id>, save live --->  await_vgpus, restore: give_up_arrival if it fails
    step_aside                            2 <-----  (that it is restored, or why not)
                                          3 ----->  take_name, carry_on
                                          4 <-----
    leave

The save into a connection, its restore and the synchronisation points are in `engine.migrate`: a connection
is no value. From point 3 on the VM may be running at the destination, so the source must never resume it.
"""

from schema.atomics.vm import (
    RenameWhen,
    VmCreate,
    VmHookScript,
    VmHookScriptStable,
    VmRemove,
    VmRename,
    VmSetDomainActionRequest,
    VmSetMemoryDynamicRange,
    VmUnpause,
)
from schema.ids import VmId
from schema.migration import departing_id
from schema.objects.vm import Vm
from schema.operations import VmReceiveMemory

from engine.backend import Devices
from engine.hook_names import HookName, HookReason
from engine.plan import order, plug
from engine.plan.groups import Steps, do
from engine.plan.shutdown import shutdown
from engine.plan.suspend import plug_vifs, restore_devices, start_vgpus


def freeze_balloon(vm: Vm, memory_actual_bytes: int, *, localhost: bool) -> Steps:
    """Nothing, if there is no range to move in. Within one host no memory is copied, so none is given up."""
    if vm.memory_dynamic_min == vm.memory_dynamic_max:
        return ()
    target = memory_actual_bytes if localhost else vm.memory_dynamic_min
    return do(VmSetMemoryDynamicRange(vm=VmId(vm.id), minimum_bytes=target, maximum_bytes=target))


def step_aside(vm: VmId) -> Steps:
    """The source's domain gives its id away."""
    return do(VmRename(vm=vm, name=departing_id(vm), when=RenameWhen.PRE_MIGRATION))


def leave(vm: VmId, departing: Devices) -> Steps:
    """The source forgets the VM; `departing` are its devices under its departing id."""
    gone = departing_id(vm)
    return (
        *_departure_hook(vm, HookName.PRE_SHUTDOWN),
        *shutdown(gone, departing, None),
        *_departure_hook(vm, HookName.POST_DESTROY),
        *do(VmRemove(vm=gone)),
    )


def make_room(operation: VmReceiveMemory, devices: Devices) -> Steps:
    """As much as can be done at the destination while the VM still runs at the source."""
    return (
        *do(
            VmCreate(
                vm=operation.vm,
                memory_upper_bound_bytes=operation.memory_limit_bytes,
                final=operation.final,
                no_sharept=order.needs_own_page_tables(devices.vgpus),
            )
        ),
        *plug_vifs(devices),
    )


def await_vgpus(devices: Devices) -> Steps:
    """Just before the memory arrives."""
    return (*plug.dequarantine(devices.vgpus), *start_vgpus(devices))


def take_name(operation: VmReceiveMemory) -> Steps:
    """The destination's domain takes its final id."""
    if operation.final == operation.vm:
        return ()
    return do(VmRename(vm=operation.vm, name=operation.final, when=RenameWhen.POST_MIGRATION))


def carry_on(final: VmId, devices: Devices) -> Steps:
    """The VM runs again; `devices` are those under its final id."""
    return (
        *restore_devices(final, devices, restore_vifs=False),
        *do(
            VmUnpause(vm=final),
            VmSetDomainActionRequest(vm=final, action=None),
            VmHookScript(vm=final, hook=HookName.POST_MIGRATE, reason=HookReason.MIGRATE_DESTINATION),
        ),
    )


def give_up_arrival(vm: VmId, devices: Devices) -> Steps:
    """The VM cannot go on here, whether its memory has arrived or not: all that was made for it goes."""
    return (*shutdown(vm, devices, None), *do(VmRemove(vm=vm)))


def _departure_hook(vm: VmId, hook: HookName) -> Steps:
    return do(VmHookScriptStable(vm=vm, hook=hook, reason=HookReason.SUSPEND, stable=departing_id(vm)))
