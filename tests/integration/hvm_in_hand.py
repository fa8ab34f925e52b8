"""HVM in hand: hardware by this machine's own QEMU, which knows of no Xen; its processors do nothing."""

import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override
from worker_xen.classic.hvm import places
from worker_xen.classic.hvm.emulators import Emulators

DEVICE_MODEL = f"""\
#!{sys.executable}
import os, sys
words = iter(sys.argv[1:])
given = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-S", "-accel", "tcg,tb-size=16"]
given += ["-bios", os.path.join(os.path.dirname(sys.argv[0]), "firmware")]
for name in ("send-configuration", "store-global-state", "send-section-footer"):
    given += ["-global", f"migration.{{name}}=off"]
for word in words:
    if word == "-xen-domid":
        next(words)
    elif word == "-machine":
        given += [word, next(words).replace("xenfv", "pc")]
    elif word != "-xen-domid-restrict":
        given.append(word)
os.execvp(given[0], given)
"""
"""What it is told as Xen's, it does as a common one, and writes its state as Xen's does."""

HALT, FIRMWARE_BYTES = b"\xf4", 1 << 16
"""All that its processors find, should they run."""


def _in_place_of(device: Mapping[str, object]) -> Mapping[str, object]:
    """What this QEMU shows for a device that it has not."""
    match device["driver"]:
        case "xen-pci-passthrough":
            return {"driver": "pci-testdev", "id": device["id"]}
        case "usb-host":
            return {"driver": "usb-kbd", "id": device["id"], "bus": device["bus"]}
        case _:
            return device


def _is_usb(device: Mapping[str, object] | None) -> bool:
    """These go without being asked."""
    return device is not None and str(device["id"]).startswith("usb")


class EmulatorsInHand(Emulators):
    """This machine's QEMU has no device of Xen's, but another; its guest puts away what it is asked for.

    Nor has it the host's USB devices in its empty directory: there it shows a keyboard of its own.
    """

    guests_listen = True

    @override
    def do(self, domid: int, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        if command == "device_add":
            assert arguments is not None
            arguments = _in_place_of(arguments)
        answer = super().do(domid, command, arguments)
        if command == "device_del" and self.guests_listen and not _is_usb(arguments):
            self._let_go(domid)
        return answer

    @override
    def lend_usb(self, domid: int, number: int, descriptor: int, device: Mapping[str, object]) -> None:
        self.do(domid, "device_add", device)

    def fall_asleep(self, domid: int) -> None:
        """As a guest does by ACPI, where its firmware has put that; it may have slept before."""
        if super().do(domid, "query-status")["status"] == "prelaunch":
            self.configure(domid, 0x80000B40, 0xB001)
            self.configure(domid, 0x80000B80, 1)
            super().do(domid, "cont")
        self._say(domid, "o /h 0xb004 0x2400")

    def configure(self, domid: int, register: int, value: int) -> None:
        """As a firmware does."""
        self._say(domid, f"o /w 0xcf8 {register:#x}")
        self._say(domid, f"o /w 0xcfc {value:#x}")

    def configured(self, domid: int, register: int) -> int:
        """What is in a register."""
        self._say(domid, f"o /w 0xcf8 {register:#x}")
        return int(self._say(domid, "i /w 0xcfc").split("=")[1], 16)

    def _let_go(self, domid: int) -> None:
        """As a guest does by ACPI: choose the bus, read which slot shall go, and say that it may."""
        self._say(domid, "o /w 0xae10 0")
        slots = self._say(domid, "i /w 0xae04").split("=")[1].strip()
        self._say(domid, f"o /w 0xae08 {slots}")

    def _say(self, domid: int, words: str) -> str:
        return str(super().do(domid, "human-monitor-command", {"command-line": words}))


def have_programs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let backend classic find what a host has for HVM guests."""
    model, image = directory / "device-model", directory / "image"
    model.write_text(DEVICE_MODEL)
    model.chmod(model.stat().st_mode | stat.S_IXUSR)
    image.touch()
    (directory / "firmware").write_bytes(HALT * FIRMWARE_BYTES)
    monkeypatch.setattr(places, "DEVICE_MODELS", (str(model),))
    monkeypatch.setattr(places, "HVMLOADERS", (str(image),))
    monkeypatch.setattr(places, "BIOSES", (str(image),))
