"""Disks: where a VBD's content is, and how the guest numbers it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schema.wire.types import Arm, Variant


class LocalDisk(Arm):
    """A file or device of the worker's host, by its path."""

    kind: Literal["Local"] = "Local"
    path: str


class Vdi(Arm):
    """A disk of a storage repository, by `<SR>/<VDI>`."""

    kind: Literal["VDI"] = "VDI"
    name: str


Disk = Annotated[
    LocalDisk | Vdi,
    Field(discriminator="kind"),
    Variant("disk"),
]
"""`disk`."""


class BusType(StrEnum):
    """The bus that a guest finds a disk on."""

    XEN = "Xen"
    SCSI = "Scsi"
    FLOPPY = "Floppy"
    IDE = "Ide"


DeviceNumber = tuple[BusType, int, int]
