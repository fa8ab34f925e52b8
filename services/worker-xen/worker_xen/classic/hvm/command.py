"""Command: the words by which a device model is started; values and no I/O.

QEMU opens what is named here, then leaves for an empty directory and lets go of every domain but its own;
later it is given open files only. Who may get PCI devices of the host has one with all rights of root.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schema.fault import internal_error, unimplemented
from schema.objects.vm import Bios, Hvm, HvmInfo, StandardVga, Vm

from worker_xen.classic.machine import IDE_DISKS
from worker_xen.usb import CONTROLLER

MONITOR, SCREEN, SERIAL = "monitor", "vnc", "serial"

DRIVES_MAX = IDE_DISKS
"""QEMU's PC has two IDE channels with two drives each."""

CARDS_MAX = 8
"""Network cards: as in the original; a guest's own drivers have all."""

NIC_MODEL = "nic_type"
"""A key of `Vm.platformdata`, as xapi writes it."""

_MODELS = ("rtl8139", "e1000")
_BOOTS_FROM = frozenset("acdn")
_VIDEO_MIB_MIN = 4
_SECONDS = re.compile(r"-?[0-9]{1,9}")

Words = dict[str, object]


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk or a CD drive, by its number among `DRIVES_MAX`; one without content is empty."""

    number: int
    path: str | None
    is_device: bool = False
    is_cdrom: bool = False
    is_read_only: bool = False

    @property
    def id(self) -> str:
        """What QEMU calls it."""
        return f"drive{self.number}"

    @property
    def node(self) -> str:
        """What QEMU calls its content."""
        return f"content{self.number}"


@dataclass(frozen=True, slots=True)
class Card:
    """A network card, by the interface's number."""

    number: int
    mac: str

    @property
    def id(self) -> str:
        """What QEMU calls it."""
        return f"nic{self.number}"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a guest finds."""

    domid: int
    vm: Vm
    vcpus: int
    memory_mib: int
    drives: tuple[Drive, ...] = ()
    cards: tuple[Card, ...] = ()
    gets_pcis: bool = False
    """It may be given PCI devices of the host: no device model that is restricted can show these."""
    has_usb: bool = False
    """It has a controller for USB devices of the host, as one that it goes on from had."""


@dataclass(frozen=True, slots=True)
class Given:
    """What its QEMU is started with: open files, by number, and who it is to be."""

    directory: Path
    monitor: int
    taps: Mapping[int, int] = field(default_factory=dict)
    state: int | None = None
    user: tuple[int, int] | None = None


def hvm_info(vm: Vm) -> HvmInfo:
    """What is configured of the hardware, all of which can be had.

    Errors: `Unimplemented` for a part that cannot; `Internal_error` that names a word that makes no sense.
    """
    if not isinstance(vm.ty, Hvm):
        raise TypeError(f"VM {vm.id} is no HVM guest")
    info = vm.ty.info
    wanted = {
        "firmware other than a BIOS": not isinstance(info.firmware, Bios),
        "a TPM": info.tpm is not None,
        "a device model in a domain of its own": info.qemu_stubdom,
        "a virtual GPU": info.video.kind not in {"Cirrus", "Standard_VGA"},
        "shadow paging": not info.hap,
    }
    for what, is_wanted in wanted.items():
        if is_wanted:
            raise unimplemented(f"VM.start of an HVM guest with {what} on classic")
    if set(info.boot_order) - _BOOTS_FROM:
        raise internal_error(
            f"VM {vm.id} boots from {info.boot_order!r}: give letters of `cdn` (disk, CD, network)"
        )
    if info.timeoffset and not _SECONDS.fullmatch(info.timeoffset):
        raise internal_error(
            f"VM {vm.id} has the timeoffset {info.timeoffset[:20]!r}: give seconds, of nine digits at most"
        )
    _nic_model(vm)
    return info


def video_mib(info: HvmInfo) -> int:
    """Memory of its picture."""
    return max(_VIDEO_MIB_MIN, info.video_mib)


def has_serial(info: HvmInfo) -> bool:
    """Whether it has a serial port, which is a terminal of the host then."""
    return info.serial not in {None, "", "none"}


def command_line(hardware: Hardware, given: Given) -> list[str]:
    """All arguments, without the program, which runs in its directory."""
    info = hvm_info(hardware.vm)
    return [
        *("-xen-domid", str(hardware.domid)),
        *(() if hardware.gets_pcis else ("-xen-domid-restrict",)),
        *("-no-shutdown", "-nodefaults", "-no-user-config", "-name", f"guest={_escaped(hardware.vm.id)}"),
        *("-pidfile", marker(given.directory)),
        *("-machine", f"xenfv,suppress-vmdesc=on,acpi={'on' if info.acpi else 'off'}"),
        *("-m", str(hardware.memory_mib - video_mib(info))),
        *("-smp", f"cpus={hardware.vcpus},maxcpus={max(hardware.vm.vcpu_max, hardware.vcpus)}"),
        *("-boot", f"order={info.boot_order or 'cd'}", "-rtc", "base=utc"),
        *_ways_in(info, given.monitor),
        *(word for drive in hardware.drives for word in _drive(drive)),
        *_cards(hardware, info, given.taps),
        *(("-device", json.dumps(CONTROLLER)) if hardware.has_usb else ()),
        *(() if hardware.gets_pcis else _leaving(given)),
        *(() if given.state is None else ("-incoming", f"fd:{given.state}")),
    ]


def _leaving(given: Given) -> Iterator[str]:
    yield from ("-chroot", str(given.directory / "root"))
    if given.user is not None:
        yield from ("-runas", f"{given.user[0]}:{given.user[1]}")


def marker(directory: Path) -> str:
    """A word of the command line by which a QEMU is known as the one of that directory."""
    return str(directory / "pid")


def content(drive: Drive, path: str) -> Words:
    """The content of a drive, as QEMU is told of it."""
    kind = "host_device" if drive.is_device else "file"
    read_only = drive.is_read_only or drive.is_cdrom
    file = {"driver": kind, "filename": path, "read-only": read_only}
    return {"driver": "raw", "node-name": drive.node, "read-only": read_only, "file": file}


def _ways_in(info: HvmInfo, monitor: int) -> Iterator[str]:
    yield from ("-chardev", f"socket,id={MONITOR},fd={monitor},server=on,wait=off")
    yield from ("-mon", f"chardev={MONITOR},mode=control")
    yield from ("-display", "none", "-vnc", f"unix:{SCREEN}")
    if info.keymap:
        yield from ("-k", info.keymap)
    card = "VGA" if isinstance(info.video, StandardVga) else "cirrus-vga"
    yield from ("-device", f"{card},vgamem_mb={video_mib(info)}")
    if has_serial(info):
        yield from ("-chardev", f"pty,id={SERIAL}", "-serial", f"chardev:{SERIAL}")


def _drive(drive: Drive) -> Iterator[str]:
    words: Words = {
        "driver": "ide-cd" if drive.is_cdrom else "ide-hd",
        "id": drive.id,
        "bus": f"ide.{drive.number // 2}",
        "unit": drive.number % 2,
    }
    if drive.path is not None:
        if drive.is_cdrom:
            yield from ("-blockdev", json.dumps(content(drive, drive.path)))
        else:
            yield from ("-drive", _disk(drive, drive.path))
        words["drive"] = drive.node
    yield from ("-device", json.dumps(words))


def _disk(drive: Drive, path: str) -> str:
    """The content of a disk.

    By its older option alone QEMU survives a guest that finds drivers of Xen's, and puts its emulated disks
    away: those of `-blockdev` it forgets twice (7.2). By that option it would open a file anew when its guest
    is saved, unless it is told: where it is then, there is none.
    """
    words = {
        "if": "none",
        "id": drive.node,
        "format": "raw",
        "file.driver": "host_device" if drive.is_device else "file",
        "file.filename": path,
        "read-only": "on" if drive.is_read_only else "off",
        "auto-read-only": "off",
    }
    return ",".join(f"{name}={_escaped(value)}" for name, value in words.items())


def _cards(hardware: Hardware, info: HvmInfo, taps: Mapping[int, int]) -> Iterator[str]:
    """Only who boots from the network needs a ROM, which takes some of the guest's memory."""
    for index, card in enumerate(hardware.cards):
        words: Words = {"driver": _nic_model(hardware.vm), "id": card.id, "netdev": f"net{card.number}"}
        if card.mac:
            words["mac"] = card.mac
        if index or "n" not in info.boot_order:
            words["romfile"] = ""
        yield from ("-netdev", f"tap,id=net{card.number},fd={taps[card.number]}")
        yield from ("-device", json.dumps(words))


def _nic_model(vm: Vm) -> str:
    model = dict(vm.platformdata).get(NIC_MODEL) or _MODELS[0]
    if model not in _MODELS:
        raise internal_error(
            f"VM {vm.id} has the platform key {NIC_MODEL}={model!r}: give one of {', '.join(_MODELS)}"
        )
    return model


def _escaped(value: str) -> str:
    """A value among QEMU's options, which commas divide."""
    return value.replace(",", ",,")
