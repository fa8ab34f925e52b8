"""VM files: a VM and its devices in one JSON file, as `xenops add` takes it.

    {"vm":   {"id": "web1", "memory": "512 MiB", "vcpus": 2,
              "boot": {"kernel": "vmlinuz", "initrd": "initrd.gz", "cmdline": "console=ttyS0"}},
     "vbds": [{"device": "xvda", "disk": "root.qcow2"},
              {"device": "hdc", "disk": "cd.iso", "type": "cdrom"}],
     "vifs": [{"device": "0", "mac": "52:54:00:12:34:56", "bridge": "xenbr0"}],
     "pcis": [{"device": "0", "address": "0000:03:00.0"}]}

Only `vm.id` must be given. Without a kernel the firmware boots: `"boot": {"firmware": "uefi", "order": "cd"}`
(c: disk, d: CD, n: network). Paths are relative to the file. What `VM.export_metadata` answers is taken, too.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from schema.ids import is_safe_name
from schema.objects.disk import BusType, DeviceNumber, LocalDisk, Vdi
from schema.objects.metadata import Metadata
from schema.objects.network import LocalNetwork
from schema.objects.pci import Pci, PciAddress
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import (
    BuilderInfo,
    DirectBoot,
    Hvm,
    HvmInfo,
    PvDirectBoot,
    Pvh,
    PvInfo,
    SchedulerParams,
    Uefi,
    UefiVariables,
    Vm,
    VmAction,
)
from schema.wire.codec import decode_text
from schema.wire.errors import JsonError, MarshalError
from schema.wire.types import DeviceId

MEMORY_DEFAULT_BYTES = 256 << 20

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_MEMORY = re.compile(r"(\d+)\s*([A-Za-z]*)")
_DISK_NAME = re.compile(r"(xvd|hd|sd|fd)([a-z])")
_BUSES = {"xvd": BusType.XEN, "hd": BusType.IDE, "sd": BusType.SCSI, "fd": BusType.FLOPPY}
_MODES = {"rw": VbdMode.READ_WRITE, "ro": VbdMode.READ_ONLY}
_TYPES = {"disk": VbdType.DISK, "cdrom": VbdType.CDROM, "floppy": VbdType.FLOPPY}
_PCI_ADDRESS = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


class VmFileError(Exception):
    """A VM file cannot be read; the sentence says where, and what would do."""


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


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=_Part)


class KernelBoot(_Part):
    """Start a kernel directly."""

    kernel: str
    initrd: str | None = None
    cmdline: str = ""


class FirmwareBoot(_Part):
    """Start what the firmware finds: `order` of disk (c), CD (d), network (n)."""

    firmware: Literal["bios", "uefi"] = "bios"
    order: str = "cdn"


class VmPart(_Part):
    """The VM itself."""

    id: Name
    name: str | None = None
    memory: Memory = MEMORY_DEFAULT_BYTES
    vcpus: int = Field(default=1, ge=1)
    vcpus_max: int | None = Field(default=None, ge=1)
    boot: KernelBoot | FirmwareBoot = FirmwareBoot()
    platform: dict[str, str] = {}


class VbdPart(_Part):
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


class VifPart(_Part):
    """A network interface."""

    device: Annotated[str, _matching(re.compile(r"\d+"), "0 or 1")]
    mac: Annotated[
        str, _matching(re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE), "52:54:00:12:34:56")
    ]
    bridge: str = "xenbr0"
    mtu: int = Field(default=1500, ge=68)


class PciPart(_Part):
    """A host device."""

    device: str
    address: Annotated[str, _matching(_PCI_ADDRESS, "0000:03:00.0")]


Device = VbdPart | VifPart | PciPart


class VmFile(_Part):
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


def read_vm_file(path: Path) -> Metadata:
    """A VM file as the objects of the interface.

    Raises:
        VmFileError: it is missing, no JSON, or says something that makes no sense.
    """
    return parse_vm_file(read_text(path), path)


def read_text(path: Path) -> str:
    """What is in a file; `-` is standard input.

    Raises:
        VmFileError: it cannot be read.
    """
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise VmFileError(f"cannot read the VM file {path}: {_why(error)}") from error


def _why(error: OSError | UnicodeDecodeError) -> str:
    """What went wrong, without number and path."""
    return error.strerror or str(error) if isinstance(error, OSError) else "it is no text in UTF-8"


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        VmFileError: it cannot be written.
    """
    try:
        path.write_text(text)
    except OSError as error:
        raise VmFileError(f"cannot write the VM file {path}: {_why(error)}") from error


def parse_vbd(vm: str, values: Mapping[str, object]) -> Vbd:
    """A VM's disk from what a VM file says of one; its path begins at the current directory.

    Raises:
        VmFileError: something makes no sense.
    """
    return _vbd(vm, _part(VbdPart, values), Path.cwd())


def parse_vif(vm: str, values: Mapping[str, object]) -> Vif:
    """A VM's interface from what a VM file says of one.

    Raises:
        VmFileError: something makes no sense.
    """
    return _vif(vm, _part(VifPart, values))


def parse_pci(vm: str, device: str, address: str) -> Pci:
    """A VM's PCI device by its name, which is its place in the order, and its address.

    Raises:
        VmFileError: one of them makes no sense.
    """
    if not device.isdecimal():
        raise VmFileError(f"{device!r} is no name of a PCI device in a VM: give a number, as 0")
    return _pci(vm, int(device), _part(PciPart, {"device": device, "address": address}))


def _part(kind: type[P], values: Mapping[str, object]) -> P:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise VmFileError("; ".join(_complaint(one, values["device"]) for one in error.errors())) from error


def parse_vm_file(text: str, path: Path) -> Metadata:
    """As `read_vm_file`; `path` is where relative paths begin, and what messages name."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise VmFileError(f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
    if _is_exported(values):
        try:
            exported: Metadata = decode_text(Metadata, text)
        except (JsonError, MarshalError) as error:
            raise VmFileError(f"{path}: no metadata as VM.export_metadata writes it: {error}") from error
        return exported
    try:
        return _metadata(VmFile.model_validate(values), path.resolve().parent)
    except ValidationError as error:
        raise VmFileError("\n".join(f"{path}: {_complaint(one)}" for one in error.errors())) from error


def _is_exported(values: Any) -> bool:
    return isinstance(values, dict) and isinstance(values.get("vm"), dict) and "ty" in values["vm"]


def _complaint(error: Mapping[str, Any], whole: object = "the file") -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        return f"{place} is not known here: remove it, or see `xenops add --help`"
    if error["type"] == "missing":
        return f"{place} is missing"
    told = f"{place or whole}: {error['msg'].removeprefix('Value error, ')}"
    return told if isinstance(error["input"], dict | list) else f"{told}, not {error['input']!r}"


def _metadata(file: VmFile, base: Path) -> Metadata:
    vm = file.vm.id
    return Metadata(
        vm=_vm(file.vm, base),
        vbds=tuple(_vbd(vm, part, base) for part in file.vbds),
        vifs=tuple(_vif(vm, part) for part in file.vifs),
        pcis=tuple(_pci(vm, position, part) for position, part in enumerate(file.pcis)),
    )


def _vm(part: VmPart, base: Path) -> Vm:
    return Vm(
        id=part.id,
        name=part.name or part.id,
        ssidref=0,
        xsdata=(),
        platformdata=tuple(part.platform.items()),
        bios_strings=(),
        ty=_builder(part.boot, base),
        suppress_spurious_page_faults=False,
        memory_static_max=part.memory,
        memory_dynamic_max=part.memory,
        memory_dynamic_min=part.memory,
        vcpu_max=part.vcpus_max or part.vcpus,
        vcpus=part.vcpus,
        scheduler_params=SchedulerParams(affinity=()),
        on_crash=(VmAction.SHUTDOWN,),
        on_shutdown=(VmAction.SHUTDOWN,),
        on_reboot=(VmAction.START,),
        pci_msitranslate=True,
        pci_power_mgmt=False,
    )


def _builder(boot: KernelBoot | FirmwareBoot, base: Path) -> BuilderInfo:
    match boot:
        case KernelBoot(kernel=kernel, initrd=initrd, cmdline=cmdline):
            ramdisk = str(base / initrd) if initrd else None
            direct = PvDirectBoot(kernel=str(base / kernel), cmdline=cmdline, ramdisk=ramdisk)
            return Pvh(info=PvInfo(boot=DirectBoot(boot=direct)))
        case FirmwareBoot(firmware="uefi", order=order):
            return Hvm(info=HvmInfo(boot_order=order, firmware=Uefi(variables=UefiVariables())))
        case FirmwareBoot(order=order):
            return Hvm(info=HvmInfo(boot_order=order))


def _vbd(vm: str, part: VbdPart, base: Path) -> Vbd:
    mode = part.mode or ("ro" if part.type == "cdrom" else "rw")
    backend = Vdi(name=part.vdi) if part.vdi else LocalDisk(path=str(base / part.disk)) if part.disk else None
    return Vbd(
        id=DeviceId(vm, part.device),
        position=_position(part.device),
        mode=_MODES[mode],
        backend=backend,
        ty=_TYPES[part.type],
    )


def _position(device: str) -> DeviceNumber:
    return _BUSES[device[:-1]], ascii_lowercase.index(device[-1]), 0


def _vif(vm: str, part: VifPart) -> Vif:
    return Vif(
        id=DeviceId(vm, part.device),
        position=int(part.device),
        mac=part.mac,
        mtu=part.mtu,
        backend=LocalNetwork(bridge=part.bridge),
    )


def _pci(vm: str, position: int, part: PciPart) -> Pci:
    domain, bus, dev, fn = (int(number, 16) for number in re.split("[:.]", part.address))
    address = PciAddress(domain=domain, bus=bus, dev=dev, fn=fn)
    return Pci(id=DeviceId(vm, part.device), position=position, address=address)
