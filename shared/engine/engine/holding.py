"""Holding: the devices that one VM has, found and exchanged by name, for the VM may be renamed meanwhile."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from schema.ids import DeviceId


class Device(Protocol):
    """What has a device's id."""

    @property
    def id(self) -> DeviceId:
        """Its VM and its name."""


DeviceT = TypeVar("DeviceT", bound=Device)


def find(devices: Sequence[DeviceT], id_: DeviceId) -> DeviceT | None:
    """The device of that id."""
    return next((device for device in devices if device.id.device == id_.device), None)


def without(devices: Sequence[DeviceT], id_: DeviceId) -> tuple[DeviceT, ...]:
    """All devices but that one."""
    return tuple(device for device in devices if device.id.device != id_.device)


def replacing(devices: Sequence[DeviceT], device: DeviceT) -> tuple[DeviceT, ...]:
    """All devices, that one as given now."""
    return tuple(device if other.id.device == device.id.device else other for other in devices)


def with_or_without(names: tuple[str, ...], name: str, *, there: bool) -> tuple[str, ...]:
    """Names in their order, with one of them, at the end if it is new, or without it."""
    if (name in names) == there:
        return names
    return (*names, name) if there else tuple(other for other in names if other != name)
