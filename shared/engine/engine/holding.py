"""Holding: the devices that one VM has, found and exchanged by name; a VM may be renamed meanwhile."""

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
