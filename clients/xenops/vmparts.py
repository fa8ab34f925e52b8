"""VM parts: what a VM file may say of a VM and its devices, each part checked by itself."""

import re
from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from schema.ids import is_safe_name

MEMORY_DEFAULT_BYTES = 256 << 20

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_MEMORY = re.compile(r"(\d+)\s*([A-Za-z]*)")
_DISK_NAME = re.compile(r"(xvd|hd|sd|fd)([a-z])")
_PCI_ADDRESS = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


def _bytes(value: object) -> object:
    match = _MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    unit = match[2].lower()
    if unit not in _UNITS:
        raise ValueError(f"{match[2]} is no unit of memory: use MiB or GiB")
    return int(match[1]) * _UNITS[unit]


def _safe(name: str) -> str:
    if not is_safe_name(name):
        raise ValueError(
            "must be up to 64 letters, digits, dots, dashes and underscores, no two dots together"
        )
    return name


def _matching(pattern: re.Pattern[str], example: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must look like {example}")
        return text

    return AfterValidator(check)


Memory = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
Name = Annotated[str, AfterValidator(_safe)]


class Part(BaseModel):
    """Something that a VM file says; what is not known here is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KernelBoot(Part):
    """Start a kernel directly."""

    kernel: str
    initrd: str | None = None
    cmdline: str = ""


class FirmwareBoot(Part):
    """Start what the firmware finds: `order` of disk (c), CD (d), network (n)."""

    firmware: Literal["bios", "uefi"] = "bios"
    order: str = "cdn"


class BootloaderBoot(Part):
    """Start a paravirtual guest of Xen's with the kernel that a bootloader finds on its first disk."""

    bootloader: str
    cmdline: str = ""


class VmPart(Part):
    """The VM itself."""

    id: Name
    name: str | None = None
    memory: Memory = MEMORY_DEFAULT_BYTES
    vcpus: int = Field(default=1, ge=1)
    vcpus_max: int | None = Field(default=None, ge=1)
    boot: KernelBoot | BootloaderBoot | FirmwareBoot = FirmwareBoot()
    platform: dict[str, str] = {}


class VbdPart(Part):
    """A disk, a CD drive, perhaps empty; `vdi` names a disk of a storage service, `disk` a file or device."""

    device: Annotated[str, _matching(_DISK_NAME, "xvda, hdc or sdb")]
    disk: str | None = None
    vdi: str | None = None
    mode: Literal["rw", "ro"] | None = None
    type: Literal["disk", "cdrom", "floppy"] = "disk"

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.disk and self.vdi:
            raise ValueError("has both disk and vdi: give one of them")
        if self.type == "disk" and not (self.disk or self.vdi):
            raise ValueError("has neither disk nor vdi: only a drive of type cdrom or floppy can be empty")
        return self


class VifPart(Part):
    """A network interface."""

    device: Annotated[str, _matching(re.compile(r"\d+"), "0 or 1")]
    mac: Annotated[
        str, _matching(re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE), "52:54:00:12:34:56")
    ]
    bridge: str = "xenbr0"
    mtu: int = Field(default=1500, ge=68)


class PciPart(Part):
    """A host device."""

    device: str
    address: Annotated[str, _matching(_PCI_ADDRESS, "0000:03:00.0")]


Device = VbdPart | VifPart | PciPart


class VmFile(Part):
    """The whole file."""

    vm: VmPart
    vbds: tuple[VbdPart, ...] = ()
    vifs: tuple[VifPart, ...] = ()
    pcis: tuple[PciPart, ...] = ()

    @field_validator("vbds", "vifs", "pcis")
    @classmethod
    def _stand_once(cls, parts: tuple[Device, ...]) -> tuple[Device, ...]:
        twice = [name for name, count in Counter(part.device for part in parts).items() if count > 1]
        if twice:
            raise ValueError(f"has {twice[0]} twice: each needs a device name of its own")
        return parts

    @model_validator(mode="after")
    def _has_a_disk_to_boot_from(self) -> Self:
        if isinstance(self.vm.boot, BootloaderBoot) and not any(part.disk or part.vdi for part in self.vbds):
            raise ValueError("a bootloader needs a disk to look at: name one among vbds")
        return self
