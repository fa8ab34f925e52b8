"""Ground: where a walk is done: an instance by its client, files for disks, and how its guests are asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model import DESCRIBED_MEDIUM, DEVICES, DRIVE, VCPUS_MAX, Device, Kind
from schema.objects.metadata import Metadata
from schema.objects.vm import ConsoleProtocol
from stack.console import Console
from stack.guest import CMDLINE, Guest
from xenops import Client
from xenops.vmfile import parse_vm_file

PATIENCE_S = 120.0
MEDIA = (DESCRIBED_MEDIUM, "cd2")
_DISK_BYTES, _MEDIUM_BYTES = 8 << 20, 2 << 20


@dataclass(slots=True)
class Ground:
    """One instance. With a `guest` its VMs boot it, and must answer at their consoles.

    `machine` is the kind of machine, if not the usual; `restarts` are what starts a service anew; `home` is
    the URL at which a VM arrives that moves within its host, if one can; `settles_s` is how long it may take
    until all that a task has done is seen.
    """

    client: Client
    directory: Path
    guest: Guest | None = None
    machine: str = ""
    restarts: Sequence[Callable[[], None]] = ()
    home: str | None = None
    settles_s: float = PATIENCE_S
    made: int = 0
    prefix: str = field(default_factory=lambda: f"walk{time.time_ns() // 1_000_000 % 1_000_000}")

    def fresh_name(self) -> str:
        """A VM that there has never been."""
        self.made += 1
        return f"{self.prefix}-{self.made}"

    def describe(self, vm: str) -> Metadata:
        """A VM with every device that it may ever have, and their files."""
        for device in DEVICES:
            if device.kind is Kind.DISK and device is not DRIVE:
                self._make(self.path(vm, device.name), _DISK_BYTES)
        for medium in MEDIA:
            self._make(self.path(vm, medium), _MEDIUM_BYTES)
        boot = {}
        if self.guest is not None:
            kernel, ramdisk = str(self.guest.kernel), str(self.guest.initrd)
            boot = {"boot": {"kernel": kernel, "initrd": ramdisk, "cmdline": CMDLINE}}
        machine = {"platform": {"machine": self.machine}} if self.machine else {}
        spec = {
            "vm": {"id": vm, "memory": "128 MiB", "vcpus": 1, "vcpus_max": VCPUS_MAX, **boot, **machine},
            "vbds": [self._disk(vm, device) for device in DEVICES if device.kind is Kind.DISK],
            "vifs": [self._interface(device) for device in DEVICES if device.kind is Kind.INTERFACE],
        }
        return parse_vm_file(json.dumps(spec), self.directory / f"{vm}.json")

    def path(self, vm: str, name: str) -> Path:
        """A file of a VM's."""
        return self.directory / f"{vm}-{name}.raw"

    def forget(self, vm: str) -> None:
        """Take its files away."""
        for path in self.directory.glob(f"{vm}-*"):
            path.unlink()

    def assert_answers(self, vm: str, words: str) -> None:
        """A guest that runs echoes what it is told."""
        if self.guest is None:
            return
        consoles = self.client.vm.stat(vm)[1].consoles
        (path,) = (one.path for one in consoles if one.protocol is not ConsoleProtocol.RFB)
        end = time.monotonic() + PATIENCE_S
        with Console(path, self.path(vm, "transcript")) as console:
            while time.monotonic() < end:
                console.say(f"echo {words[:2]}''{words[2:]}")
                if any(words in line for line in console.lines(5.0)):
                    return
        raise AssertionError(f"the guest of {vm} does not answer at its console")

    def _disk(self, vm: str, device: Device) -> dict[str, str]:
        name, cd = (DESCRIBED_MEDIUM, {"type": "cdrom"}) if device is DRIVE else (device.name, {})
        return {"device": device.name, "disk": str(self.path(vm, name)), **cd}

    def _interface(self, device: Device) -> dict[str, str]:
        mac = f"52:54:00:{self.made >> 8 & 255:02x}:{self.made & 255:02x}:0{device.name}"
        return {"device": device.name, "bridge": "xenbr0", "mac": mac}

    @staticmethod
    def _make(path: Path, size: int) -> None:
        with path.open("wb") as file:
            file.truncate(size)
