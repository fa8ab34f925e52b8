"""Requests about devices: the same four for each of the five kinds."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schema.fault import XenopsError
from schema.ids import DeviceId, VmId
from schema.objects.dynamic import PciObject, VbdObject, VgpuObject, VifObject, VusbObject
from schema.objects.errors import DeviceIsConnected, DoesNotExist
from schema.objects.vif import Vif
from schema.records import Changed

from engine.control.desk import Desk

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of device: its parameter's name, its table, its verbs, and how an update names it."""

    name: str
    object: Any

    def table(self, desk: Desk) -> Any:
        """Where they are stored."""
        return getattr(desk.scene.store, f"{self.name}s")

    def state(self, desk: Desk, device: Any) -> Any:
        """How one is now."""
        return getattr(desk.scene.backend, self.name).get_state(VmId(device.id.vm), device)


KINDS = {
    "VBD": Kind("vbd", VbdObject),
    "VIF": Kind("vif", VifObject),
    "PCI": Kind("pci", PciObject),
    "VGPU": Kind("vgpu", VgpuObject),
    "VUSB": Kind("vusb", VusbObject),
}
"""By the first word of their methods."""


def add(kind: Kind, desk: Desk, params: Params) -> DeviceId:
    """Store a device. Errors: `Does_not_exist("VM", vm)` for one of an unknown VM."""
    device = params[kind.name]
    if not desk.scene.store.exists(device.id.vm):
        raise XenopsError(DoesNotExist(klass="VM", id=device.id.vm))
    if isinstance(device, Vif):
        device = _with_mac(device)
    kind.table(desk).write(device)
    _changed(kind, desk, device.id)
    found: DeviceId = device.id
    return found


def remove(kind: Kind, desk: Desk, params: Params) -> None:
    """Forget a device. Errors: `Device_is_connected` while it is plugged, `Does_not_exist`."""
    table = kind.table(desk)
    device = table.read(params["id"])
    if kind.state(desk, device).plugged:
        raise XenopsError(DeviceIsConnected())
    table.remove(params["id"])
    _changed(kind, desk, params["id"])


def stat(kind: Kind, desk: Desk, params: Params) -> tuple[Any, Any]:
    """A device and how it is. Errors: `Does_not_exist`."""
    device = kind.table(desk).read(params["id"])
    return device, kind.state(desk, device)


def list_all(kind: Kind, desk: Desk, params: Params) -> tuple[tuple[Any, Any], ...]:
    """All of a VM; of an unknown VM none."""
    return tuple((device, kind.state(desk, device)) for device in kind.table(desk).list(params["id"]))


def _changed(kind: Kind, desk: Desk, id_: DeviceId) -> None:
    desk.records.append(Changed(vm=VmId(id_.vm), changed=(kind.object(id=id_),)))


def _with_mac(vif: Vif) -> Vif:
    """An address for an interface that has none: always the same for the same place, or by chance."""
    match vif.mac:
        case "":
            return vif.model_copy(update={"mac": derived_mac(vif.position, vif.id.vm)})
        case "random":
            return vif.model_copy(update={"mac": local_mac(secrets.token_bytes(6))})
        case _:
            return vif


def derived_mac(position: int, vm: str) -> str:
    """The address that the original derives: MD5 of the VM's id, hashed on twice for each position."""
    digest = vm.encode()
    for _ in range(2 * position + 1):
        digest = _md5(digest)
    again = _md5(digest)
    return local_mac(bytes((*digest[:4], again[1], again[2])))


def local_mac(raw: bytes) -> str:
    """Six bytes as a locally administered unicast address; `fe`, which libvirt keeps for itself, avoided."""
    first = (raw[0] | 0x02) & ~0x01
    first = 0xFD if first == 0xFE else first
    return ":".join(f"{byte:02x}" for byte in (first, *raw[1:]))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
