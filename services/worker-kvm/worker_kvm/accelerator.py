"""Accelerator: whether QEMU is there, and whether KVM really runs a guest on this machine."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Accelerator = Literal["kvm", "tcg"]

QEMU = "qemu-system-x86_64"

PROBE_TIMEOUT_S = 2.0
"""KVM takes 0.2 s for the probe; nested in another emulation it takes longer than TCG, which it must not."""

_VERSION_TIMEOUT_S = 20.0

_EXIT_PORT = 0xF4
_EXIT_CODE = (0x31 << 1) | 1
"""What `isa-debug-exit` makes of the probe's last word, 0x31."""

_LOOPS = 20_000_000
_BOOT_SECTOR = (
    b"\x66\xb9" + _LOOPS.to_bytes(4, "little")  # mov ecx, _LOOPS
    + b"\x67\xe2\xfd"  # loop to itself
    + bytes((0xB0, 0x31, 0xE6, _EXIT_PORT))  # mov al, 0x31; out 0xf4, al
    + b"\xf4"  # hlt
).ljust(510, b"\0") + b"\x55\xaa"  # fmt: skip
_DISK_BYTES = 2 * 1024 * 1024
"""A disk smaller than a cylinder is none to the firmware."""


class QemuMissingError(Exception):
    """QEMU cannot be run here; the sentence says why, and what to do."""


def find_qemu() -> str:
    """The path of QEMU.

    Raises:
        QemuMissingError: it is not installed, or does not run.
    """
    qemu = shutil.which(QEMU)
    if qemu is None:
        raise QemuMissingError(f"there is no {QEMU} on PATH: install it (Debian: qemu-system-x86)")
    qemu_version(qemu)
    return qemu


def qemu_version(qemu: str) -> str:
    """What QEMU calls its version, as `7.2.22`. Errors: `QemuMissingError`."""
    try:
        words = subprocess.run(
            [qemu, "--version"], capture_output=True, text=True, check=True, timeout=_VERSION_TIMEOUT_S
        ).stdout.split()
    except (OSError, subprocess.SubprocessError) as error:
        raise QemuMissingError(f"{qemu} does not run: {error}") from error
    return words[3] if len(words) > 3 else "unknown"


def choose_accelerator(qemu: str, launcher: Sequence[str] = ()) -> Accelerator:
    """KVM where it boots a guest in good time, else QEMU's own emulation; `launcher` are words before QEMU's.

    Opening /dev/kvm proves nothing: there are machines where it opens and no guest ever runs.
    """
    return "kvm" if Path("/dev/kvm").exists() and boots([*launcher, qemu], "kvm", PROBE_TIMEOUT_S) else "tcg"


def boots(qemu: Sequence[str], accelerator: Accelerator, timeout_s: float) -> bool:
    """Whether a guest of a boot sector, which counts down and says so, ends in time."""
    with tempfile.NamedTemporaryFile(suffix=".raw") as disk:
        disk.write(_BOOT_SECTOR)
        disk.truncate(_DISK_BYTES)
        disk.flush()
        Path(disk.name).chmod(0o666)  # QEMU may run as another user, and there is nothing in it
        command = [*qemu, *_probe(accelerator, disk.name)]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=timeout_s)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == _EXIT_CODE


def _probe(accelerator: Accelerator, disk: str) -> list[str]:
    machine = ["-machine", "q35", "-accel", accelerator, "-m", "32M"]
    return [
        *machine, "-nodefaults", "-no-user-config", "-display", "none",
        "-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=4",
        "-drive", f"file={disk},format=raw,if=none,id=probe", "-device", "ide-hd,drive=probe",
    ]  # fmt: skip
