"""Disks: where a VBD's content is, and how the guest numbers it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schema.wire.types import Arm, Variant


class LocalDisk(Arm):
    """`disk`, arm `Local`."""

    kind: Literal["Local"] = "Local"
    path: str


class Vdi(Arm):
    """`disk`, arm `VDI`."""

    kind: Literal["VDI"] = "VDI"
    name: str


Disk = Annotated[
    LocalDisk | Vdi,
    Field(discriminator="kind"),
    Variant("disk"),
]
"""`disk`."""


class BusType(StrEnum):
    """`Device_number.bus_type`."""

    XEN = "Xen"
    SCSI = "Scsi"
    FLOPPY = "Floppy"
    IDE = "Ide"


DeviceNumber = tuple[BusType, int, int]
