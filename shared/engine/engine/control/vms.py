"""Requests about VMs."""

from collections.abc import Mapping
from typing import Any

from schema.fault import internal_error
from schema.ids import VmId, is_safe_name
from schema.objects.dynamic import VmObject
from schema.objects.metadata import Metadata
from schema.objects.vm import PowerState, Vm, VmState
from schema.records import Changed, Removed
from schema.wire.codec import decode_text, encode_text
from schema.wire.errors import JsonError, MarshalError

from engine.control.desk import Desk
from engine.perform.vms import import_vm, remove_vm

Params = Mapping[str, Any]


def add(desk: Desk, params: Params) -> str:
    """VM.add: store it, tell the backend. Errors: `Internal_error` for an id that is unfit."""
    vm: Vm = params["vm"]
    desk.scene.store.write(vm)
    desk.scene.backend.vm.add(vm)
    _changed(desk, VmId(vm.id))
    return vm.id


def remove(desk: Desk, params: Params) -> None:
    """VM.remove, once nothing executes it. Errors: `Bad_power_state` while it lives, `Does_not_exist`."""
    vm = VmId(params["id"])
    desk.scene.store.read(vm)
    desk.levers.alone(vm, lambda: remove_vm(desk.scene, vm))
    desk.records.append(Removed(vm=vm))


def stat(desk: Desk, params: Params) -> tuple[Vm, VmState]:
    """VM.stat. Errors: `Does_not_exist`."""
    return _with_state(desk, desk.scene.store.read(params["id"]))


def list_all(desk: Desk, _params: Params) -> tuple[tuple[Vm, VmState], ...]:
    """VM.list."""
    return tuple(_with_state(desk, vm) for vm in desk.scene.store.list())


def exists(desk: Desk, params: Params) -> bool:
    """VM.exists."""
    return desk.scene.store.exists(params["id"])


def generate_state_string(desk: Desk, params: Params) -> str:
    """VM.generate_state_string."""
    return desk.scene.backend.vm.generate_state_string(params["vm"])


def export_metadata(desk: Desk, params: Params) -> str:
    """VM.export_metadata: configuration and the backend's own knowledge, for another host."""
    store = desk.scene.store
    vm = store.read(params["id"])
    devices = store.devices(vm.id)
    verbs = desk.scene.backend.vm
    has_domain = bool(verbs.get_state(vm).domids)
    metadata = Metadata(
        vm=vm,
        vbds=devices.vbds,
        vifs=devices.vifs,
        pcis=devices.pcis,
        vgpus=devices.vgpus,
        vusbs=devices.vusbs,
        domains=verbs.get_internal_state((), (), vm) if has_domain else None,
    )
    return encode_text(Metadata, metadata)


def import_metadata(desk: Desk, params: Params) -> str:
    """VM.import_metadata. Errors: `Internal_error` with the reader's words for what is no metadata."""
    try:
        metadata: Metadata = decode_text(Metadata, params["metadata"])
    except (JsonError, MarshalError) as error:
        raise internal_error(str(error)) from error
    vm = VmId(metadata.vm.id)
    if not is_safe_name(vm):
        raise internal_error(f"{vm!r} cannot name a VM: use up to 64 letters, digits, '.', '_' and '-'")
    desk.levers.alone(vm, lambda: import_vm(desk.scene, vm, metadata))
    if metadata.domains is not None:
        desk.scene.backend.vm.set_internal_state(desk.scene.store.read(vm), metadata.domains)
    _changed(desk, vm)
    return vm


def _with_state(desk: Desk, vm: Vm) -> tuple[Vm, VmState]:
    state = desk.scene.backend.vm.get_state(vm)
    if desk.levers.is_rebooting(VmId(vm.id)):
        state = state.model_copy(update={"power_state": PowerState.RUNNING})
    return vm, state


def _changed(desk: Desk, vm: VmId) -> None:
    desk.records.append(Changed(vm=vm, changed=(VmObject(id=vm),)))
