"""Requests about devices: the same four for each of the five kinds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from schema.fault import XenopsError
from schema.ids import DeviceId, VmId
from schema.objects.dynamic import PciObject, VbdObject, VgpuObject, VifObject, VusbObject
from schema.objects.errors import DeviceIsConnected, DoesNotExist
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.operations import VbdCheckState
from schema.records import Changed

from engine.control.request import RequestContext
from engine.mac import with_mac
from engine.sharing import told

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of device: its parameter's name, its table, its verbs, and how an update names it."""

    name: str
    object: Any

    def table(self, request: RequestContext) -> Any:
        """Where they are stored."""
        return getattr(request.context.store, f"{self.name}s")

    def state(self, request: RequestContext, device: Any) -> Any:
        """How one is now."""
        return getattr(request.context.backend, self.name).get_state(VmId(device.id.vm), device)


KINDS = {
    "VBD": Kind("vbd", VbdObject),
    "VIF": Kind("vif", VifObject),
    "PCI": Kind("pci", PciObject),
    "VGPU": Kind("vgpu", VgpuObject),
    "VUSB": Kind("vusb", VusbObject),
}
"""By the first word of their methods."""


def add(kind: Kind, request: RequestContext, params: Params) -> DeviceId:
    """Store a device. Errors: `Does_not_exist("VM", vm)` for one of an unknown VM.

    A disk that is plugged and shall have other I/O limits now gets them, by a task of the worker's.
    """
    device = params[kind.name]
    if not request.context.store.exists(device.id.vm):
        raise XenopsError(DoesNotExist(klass="VM", id=device.id.vm))
    if isinstance(device, Vif):
        device = with_mac(device)
    with _sharing_told(request, device.id):
        kind.table(request).write(device)
    _changed(kind, request, device.id)
    if isinstance(device, Vbd) and _wants_qos(request, device):
        request.worker.check(VbdCheckState(id=device.id))
    found: DeviceId = device.id
    return found


def remove(kind: Kind, request: RequestContext, params: Params) -> None:
    """Forget a device. Errors: `Device_is_connected` while it is plugged, `Does_not_exist`."""
    table = kind.table(request)
    device = table.read(params["id"])
    if kind.state(request, device).plugged:
        raise XenopsError(DeviceIsConnected())
    with _sharing_told(request, params["id"]):
        table.remove(params["id"])
    _changed(kind, request, params["id"])


def stat(kind: Kind, request: RequestContext, params: Params) -> tuple[Any, Any]:
    """A device and how it is. Errors: `Does_not_exist`."""
    device = kind.table(request).read(params["id"])
    return device, kind.state(request, device)


def list_all(kind: Kind, request: RequestContext, params: Params) -> tuple[tuple[Any, Any], ...]:
    """All of a VM; of an unknown VM none."""
    return tuple((device, kind.state(request, device)) for device in kind.table(request).list(params["id"]))


def _wants_qos(request: RequestContext, vbd: Vbd) -> bool:
    """Of limits that make no sense, too: the task that looks says so."""
    try:
        return request.context.backend.vbd.wants_qos(VmId(vbd.id.vm), vbd)
    except XenopsError:
        return True


def _changed(kind: Kind, request: RequestContext, id_: DeviceId) -> None:
    request.records.append(Changed(vm=VmId(id_.vm), changed=(kind.object(id=id_),)))


@contextmanager
def _sharing_told(request: RequestContext, id_: DeviceId) -> Iterator[None]:
    """The redirector must know whose turn it may be while another VM is worked on."""
    vm, table = VmId(id_.vm), request.context.store.vgpus
    before = table.list(vm)
    yield
    request.records.extend(told(vm, before, table.list(vm)))
