"""HVM in hand: hardware by this machine's own QEMU, which knows of no Xen; its processors never run."""

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


class EmulatorsInHand(Emulators):
    """This machine's QEMU has no device of Xen's, but another; its guest puts away what it is asked for."""

    guests_listen = True

    @override
    def do(self, domid: int, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        if command == "device_add":
            assert arguments is not None
            assert arguments["driver"] == "xen-pci-passthrough"
            arguments = {"driver": "pci-testdev", "id": arguments["id"]}
        answer = super().do(domid, command, arguments)
        if command == "device_del" and self.guests_listen:
            self._let_go(domid)
        return answer

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
    monkeypatch.setattr(places, "DEVICE_MODELS", (str(model),))
    monkeypatch.setattr(places, "HVMLOADERS", (str(image),))
    monkeypatch.setattr(places, "BIOSES", (str(image),))
