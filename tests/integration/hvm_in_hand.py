"""HVM in hand: hardware by this machine's own QEMU, which knows of no Xen; its processors never run."""

import stat
import sys
from pathlib import Path

import pytest
from worker_xen.classic.hvm import places

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


def have_programs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let backend classic find what a host has for HVM guests."""
    model, image = directory / "device-model", directory / "image"
    model.write_text(DEVICE_MODEL)
    model.chmod(model.stat().st_mode | stat.S_IXUSR)
    image.touch()
    monkeypatch.setattr(places, "DEVICE_MODELS", (str(model),))
    monkeypatch.setattr(places, "HVMLOADERS", (str(image),))
    monkeypatch.setattr(places, "BIOSES", (str(image),))
