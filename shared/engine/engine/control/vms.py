"""Requests about VMs."""

from collections.abc import Mapping
from typing import Any

from schema.ids import VmId
from schema.objects.dynamic import VmObject
from schema.objects.metadata import Metadata
from schema.objects.vm import PowerState, Vm, VmState
from schema.records import Changed
from schema.wire.codec import encode_text

from engine.control.request import RequestContext
from engine.migrate.export import Maps, export

Params = Mapping[str, Any]


def add(request: RequestContext, params: Params) -> str:
    """VM.add: store it, tell the backend. Errors: `Internal_error` for an id that is unfit."""
    vm: Vm = params["vm"]
    request.context.store.write(vm)
    request.context.backend.vm.add(vm)
    _changed(request, VmId(vm.id))
    return vm.id


def stat(request: RequestContext, params: Params) -> tuple[Vm, VmState]:
    """VM.stat. Errors: `Does_not_exist`."""
    return _with_state(request, request.context.store.read(params["id"]))


def list_all(request: RequestContext, _params: Params) -> tuple[tuple[Vm, VmState], ...]:
    """VM.list. Not in it is what stands here under a departing id, while its VM may be another host's.

    xapi, when it is started, shuts down and removes whatever is listed that it does not know.
    """
    listed = request.context.store.list()
    return tuple(_with_state(request, vm) for vm in listed if not request.worker.is_leaving(VmId(vm.id)))


def exists(request: RequestContext, params: Params) -> bool:
    """VM.exists. Of a VM that came here and has gone on its arrived id is left, for its source to find."""
    return request.context.store.exists(params["id"]) or request.worker.has_arrived(params["id"])


def generate_state_string(request: RequestContext, params: Params) -> str:
    """VM.generate_state_string."""
    return request.context.backend.vm.generate_state_string(params["vm"])


def export_metadata(request: RequestContext, params: Params) -> str:
    """VM.export_metadata: configuration and the backend's own knowledge, for another host."""
    context = request.context
    metadata = export(context.store, context.backend, context.store.read(params["id"]), Maps())
    return encode_text(Metadata, metadata)


def _with_state(request: RequestContext, vm: Vm) -> tuple[Vm, VmState]:
    state = request.context.backend.vm.get_state(vm)
    if request.worker.is_rebooting(VmId(vm.id)):
        state = state.model_copy(update={"power_state": PowerState.RUNNING})
    return vm, state


def _changed(request: RequestContext, vm: VmId) -> None:
    request.records.append(Changed(vm=vm, changed=(VmObject(id=vm),)))
