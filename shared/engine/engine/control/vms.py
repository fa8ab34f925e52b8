"""Requests about VMs."""

from collections.abc import Mapping
from typing import Any

from schema.ids import VmId
from schema.objects.dynamic import VmObject
from schema.objects.metadata import Metadata
from schema.objects.vm import PowerState, Vm, VmState
from schema.records import Changed
from schema.wire.codec import encode_text

from engine.control.desk import Desk
from engine.migrate.export import Maps, export

Params = Mapping[str, Any]


def add(desk: Desk, params: Params) -> str:
    """VM.add: store it, tell the backend. Errors: `Internal_error` for an id that is unfit."""
    vm: Vm = params["vm"]
    desk.scene.store.write(vm)
    desk.scene.backend.vm.add(vm)
    _changed(desk, VmId(vm.id))
    return vm.id


def stat(desk: Desk, params: Params) -> tuple[Vm, VmState]:
    """VM.stat. Errors: `Does_not_exist`."""
    return _with_state(desk, desk.scene.store.read(params["id"]))


def list_all(desk: Desk, _params: Params) -> tuple[tuple[Vm, VmState], ...]:
    """VM.list. Not in it is what stands here under a departing id, while its VM may be another host's.

    xapi, when it is started, shuts down and removes whatever is listed that it does not know.
    """
    listed = desk.scene.store.list()
    return tuple(_with_state(desk, vm) for vm in listed if not desk.levers.is_leaving(VmId(vm.id)))


def exists(desk: Desk, params: Params) -> bool:
    """VM.exists. Of a VM that came here and has gone on its arrived id is left, for its source to find."""
    return desk.scene.store.exists(params["id"]) or desk.levers.has_arrived(params["id"])


def generate_state_string(desk: Desk, params: Params) -> str:
    """VM.generate_state_string."""
    return desk.scene.backend.vm.generate_state_string(params["vm"])


def export_metadata(desk: Desk, params: Params) -> str:
    """VM.export_metadata: configuration and the backend's own knowledge, for another host."""
    scene = desk.scene
    metadata = export(scene.store, scene.backend, scene.store.read(params["id"]), Maps())
    return encode_text(Metadata, metadata)


def _with_state(desk: Desk, vm: Vm) -> tuple[Vm, VmState]:
    state = desk.scene.backend.vm.get_state(vm)
    if desk.levers.is_rebooting(VmId(vm.id)):
        state = state.model_copy(update={"power_state": PowerState.RUNNING})
    return vm, state


def _changed(desk: Desk, vm: VmId) -> None:
    desk.records.append(Changed(vm=vm, changed=(VmObject(id=vm),)))
