"""Dynamic ids: what an update may be about."""

from typing import Annotated, Literal

from pydantic import Field

from schema.wire.types import Arm, DeviceId, Variant, VmId


class VmObject(Arm):
    """`Dynamic.id`, arm `Vm`."""

    kind: Literal["Vm"] = "Vm"
    id: str


class VbdObject(Arm):
    """`Dynamic.id`, arm `Vbd`."""

    kind: Literal["Vbd"] = "Vbd"
    id: DeviceId


class VifObject(Arm):
    """`Dynamic.id`, arm `Vif`."""

    kind: Literal["Vif"] = "Vif"
    id: DeviceId


class PciObject(Arm):
    """`Dynamic.id`, arm `Pci`."""

    kind: Literal["Pci"] = "Pci"
    id: DeviceId


class VgpuObject(Arm):
    """`Dynamic.id`, arm `Vgpu`."""

    kind: Literal["Vgpu"] = "Vgpu"
    id: DeviceId


class VusbObject(Arm):
    """`Dynamic.id`, arm `Vusb`."""

    kind: Literal["Vusb"] = "Vusb"
    id: DeviceId


class TaskObject(Arm):
    """`Dynamic.id`, arm `Task`."""

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
