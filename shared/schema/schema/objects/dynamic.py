"""Dynamic ids: what an update may be about."""

from typing import Annotated, Literal

from pydantic import Field

from schema.wire.types import Arm, DeviceId, Variant, VmId


class VmObject(Arm):
    """A VM, by its id."""

    kind: Literal["Vm"] = "Vm"
    id: str


class VbdObject(Arm):
    """A disk."""

    kind: Literal["Vbd"] = "Vbd"
    id: DeviceId


class VifObject(Arm):
    """A network interface."""

    kind: Literal["Vif"] = "Vif"
    id: DeviceId


class PciObject(Arm):
    """A PCI device."""

    kind: Literal["Pci"] = "Pci"
    id: DeviceId


class VgpuObject(Arm):
    """A virtual GPU."""

    kind: Literal["Vgpu"] = "Vgpu"
    id: DeviceId


class VusbObject(Arm):
    """A USB device."""

    kind: Literal["Vusb"] = "Vusb"
    id: DeviceId


class TaskObject(Arm):
    """A task, by its id."""

    kind: Literal["Task"] = "Task"
    id: str


ObjectId = Annotated[
    VmObject | VbdObject | VifObject | PciObject | VgpuObject | VusbObject | TaskObject,
    Field(discriminator="kind"),
    Variant("id"),
]
"""`Dynamic.id`."""


def vm_of(changed: ObjectId) -> VmId | None:
    """The VM that an object belongs to; a task belongs to none."""
    if isinstance(changed, TaskObject):
        return None
    return VmId(changed.id if isinstance(changed, VmObject) else changed.id.vm)
