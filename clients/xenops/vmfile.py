"""VM files: a VM and its devices in one JSON file, as `xenops add` takes it.

    {"vm":   {"id": "web1", "memory": "512 MiB", "vcpus": 2,
              "boot": {"kernel": "vmlinuz", "initrd": "initrd.gz", "cmdline": "console=ttyS0"}},
     "vbds": [{"device": "xvda", "disk": "root.qcow2"},
              {"device": "hdc", "disk": "cd.iso", "type": "cdrom"}],
     "vifs": [{"device": "0", "mac": "52:54:00:12:34:56", "bridge": "xenbr0"}],
     "pcis": [{"device": "0", "address": "0000:03:00.0"}]}

Only `vm.id` must be given. Without a kernel the firmware boots: `"boot": {"firmware": "uefi", "order": "cd"}`
(c: disk, d: CD, n: network); on Xen `"boot": {"bootloader": "pygrub", "cmdline": "console=hvc0"}` finds a
kernel on the first disk. Paths are relative to the file. What `VM.export_metadata` answers is taken, too.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Any, TypeVar

from pydantic import ValidationError
from schema.objects.disk import BusType, DeviceNumber, Disk, LocalDisk, Vdi
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
    IndirectBoot,
    Pv,
    PvDirectBoot,
    Pvh,
    PvIndirectBoot,
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

from xenops.vmparts import BootloaderBoot, FirmwareBoot, KernelBoot, Part, PciPart, VbdPart, VifPart, VmFile

_BUSES = {"xvd": BusType.XEN, "hd": BusType.IDE, "sd": BusType.SCSI, "fd": BusType.FLOPPY}
_MODES = {"rw": VbdMode.READ_WRITE, "ro": VbdMode.READ_ONLY}
_TYPES = {"disk": VbdType.DISK, "cdrom": VbdType.CDROM, "floppy": VbdType.FLOPPY}

P = TypeVar("P", bound=Part)


class VmFileError(Exception):
    """A VM file cannot be read; the sentence says where, and what would do."""


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
        vm=_vm(file, base),
        vbds=tuple(_vbd(vm, part, base) for part in file.vbds),
        vifs=tuple(_vif(vm, part) for part in file.vifs),
        pcis=tuple(_pci(vm, position, part) for position, part in enumerate(file.pcis)),
    )


def _vm(file: VmFile, base: Path) -> Vm:
    part = file.vm
    return Vm(
        id=part.id,
        name=part.name or part.id,
        ssidref=0,
        xsdata=(),
        platformdata=tuple(part.platform.items()),
        bios_strings=(),
        ty=_builder(file, base),
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


def _builder(file: VmFile, base: Path) -> BuilderInfo:
    match file.vm.boot:
        case KernelBoot(kernel=kernel, initrd=initrd, cmdline=cmdline):
            ramdisk = str(base / initrd) if initrd else None
            direct = PvDirectBoot(kernel=str(base / kernel), cmdline=cmdline, ramdisk=ramdisk)
            return Pvh(info=PvInfo(boot=DirectBoot(boot=direct)))
        case BootloaderBoot(bootloader=bootloader, cmdline=cmdline):
            disks = (_source(part, base) for part in file.vbds)
            first = tuple(disk for disk in disks if disk is not None)[:1]
            indirect = PvIndirectBoot(bootloader=bootloader, extra_args=cmdline, devices=first)
            return Pv(info=PvInfo(boot=IndirectBoot(boot=indirect)))
        case FirmwareBoot(firmware="uefi", order=order):
            return Hvm(info=HvmInfo(boot_order=order, firmware=Uefi(variables=UefiVariables())))
        case FirmwareBoot(order=order):
            return Hvm(info=HvmInfo(boot_order=order))


def _vbd(vm: str, part: VbdPart, base: Path) -> Vbd:
    mode = part.mode or ("ro" if part.type == "cdrom" else "rw")
    return Vbd(
        id=DeviceId(vm, part.device),
        position=_position(part.device),
        mode=_MODES[mode],
        backend=_source(part, base),
        ty=_TYPES[part.type],
    )


def _source(part: VbdPart, base: Path) -> Disk | None:
    if part.vdi:
        return Vdi(name=part.vdi)
    return LocalDisk(path=str(base / part.disk)) if part.disk else None


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
