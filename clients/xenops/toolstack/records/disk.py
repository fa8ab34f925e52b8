"""Disks as XenAPI describes them: a VBD connects a VM with a VDI, which lies in an SR."""

from typing import ClassVar, Literal

from pydantic import Field

from xenops.toolstack.records.scalars import NULL, Record, Ref, Strings


class VbdRecord(Record):
    """`VBD`."""

    klass: ClassVar[str] = "VBD"

    vm: Ref = Field(default=NULL, alias="VM")
    vdi: Ref = Field(default=NULL, alias="VDI")
    device: str = ""
    userdevice: str
    bootable: bool = False
    mode: Literal["RO", "RW"] = "RW"
    type: Literal["CD", "Disk", "Floppy"] = "Disk"
    unpluggable: bool = True
    empty: bool = False
    other_config: Strings = Field(default={})
    currently_attached: bool = False
    qos_algorithm_type: str = ""
    qos_algorithm_params: Strings = Field(default={})


class VdiRecord(Record):
    """`VDI`; `location` is what its SR calls it."""

    klass: ClassVar[str] = "VDI"

    location: str = Field(min_length=1)
    sr: Ref = Field(default=NULL, alias="SR")
    on_boot: Literal["reset", "persist"] = "persist"
    other_config: Strings = Field(default={})
    virtual_size: int = 0


class SrRecord(Record):
    """`SR`."""

    klass: ClassVar[str] = "SR"

    type: str = ""
    pbds: tuple[Ref, ...] = Field(default=(), alias="PBDs")


class SmRecord(Record):
    """`SM`: the driver for SRs of one type."""

    klass: ClassVar[str] = "SM"

    type: str
    required_api_version: str = ""


class PbdRecord(Record):
    """`PBD`: an SR on one host."""

    klass: ClassVar[str] = "PBD"

    sr: Ref = Field(default=NULL, alias="SR")
    host: Ref = NULL
    currently_attached: bool = False
