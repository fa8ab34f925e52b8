"""Atomics on VBDs: single steps of a plan, each one backend verb."""

from typing import Annotated, Literal

from pydantic import Field

from schema.atomics.step import Step
from schema.objects.disk import Disk
from schema.wire.types import DeviceId


class VbdEject(Step):
    """Take the medium out."""

    kind: Literal["VBD_eject"] = "VBD_eject"
    id: DeviceId


class VbdInsert(Step):
    """Put a medium in."""

    kind: Literal["VBD_insert"] = "VBD_insert"
    id: DeviceId
    disk: Disk


class VbdPlug(Step):
    """Attach, then activate."""

    kind: Literal["VBD_plug"] = "VBD_plug"
    id: DeviceId


class VbdAttach(Step):
    """Make the disk's backend ready."""

    kind: Literal["VBD_attach"] = "VBD_attach"
    id: DeviceId


class VbdActivate(Step):
    """Give the disk to the domain."""

    kind: Literal["VBD_activate"] = "VBD_activate"
    id: DeviceId


class VbdUnplug(Step):
    """Deactivate, then detach."""

    kind: Literal["VBD_unplug"] = "VBD_unplug"
    id: DeviceId
    force: bool


class VbdDeactivate(Step):
    """Take the disk from the domain."""

    kind: Literal["VBD_deactivate"] = "VBD_deactivate"
    id: DeviceId
    force: bool


class VbdDetach(Step):
    """Let the disk's backend go."""

    kind: Literal["VBD_detach"] = "VBD_detach"
    id: DeviceId


class VbdSetActive(Step):
    """Note that the VM shall have it."""

    kind: Literal["VBD_set_active"] = "VBD_set_active"
    id: DeviceId
    active: bool


class VbdSetQos(Step):
    """Apply its I/O scheduling."""

    kind: Literal["VBD_set_qos"] = "VBD_set_qos"
    id: DeviceId


class VbdEpochBegin(Step):
    """Begin a life of the disk's content."""

    kind: Literal["VBD_epoch_begin"] = "VBD_epoch_begin"
    id: DeviceId
    disk: Disk
    persistent: bool


class VbdEpochEnd(Step):
    """End that life."""

    kind: Literal["VBD_epoch_end"] = "VBD_epoch_end"
    id: DeviceId
    disk: Disk


VbdStep = (
    VbdEject
    | VbdInsert
    | VbdPlug
    | VbdAttach
    | VbdActivate
    | VbdUnplug
    | VbdDeactivate
    | VbdDetach
    | VbdSetActive
    | VbdSetQos
    | VbdEpochBegin
    | VbdEpochEnd
)
"""Any of the above, as a class to test for."""

VbdAtomic = Annotated[VbdStep, Field(discriminator="kind")]
"""Any of the above, told apart by `kind`."""
