"""Sweep: the QEMUs of a run directory, found by where they run, whatever is noted of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bus.pids import start_time

from worker_kvm.qemu.command import OWN
from worker_kvm.qemu.machine import Process
from worker_kvm.qemu.process import ends, kill

_END_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Stray:
    """A QEMU, and the domain and the VM that its command line names."""

    process: Process
    domid: int
    vm: str


def find_strays(run: Path) -> Iterator[Stray]:
    """Every QEMU that runs in its own directory below a run directory."""
    run = run.resolve()
    for entry in Path("/proc").iterdir():
        place = _place(entry) if entry.name.isdecimal() else None
        if place is None or place.name != OWN or place.parent.parent != run:
            continue
        vm, started = _vm(_command_line(entry / "cmdline")), start_time(int(entry.name))
        if vm is not None and started is not None and place.parent.name.isdecimal():
            yield Stray(Process(pid=int(entry.name), started=started), int(place.parent.name), vm)


def end_domains(run: Path) -> list[str]:
    """End every QEMU of a run directory, as a crash of the host would; answers their VMs."""
    strays = list(find_strays(run))
    for stray in strays:
        kill(stray.process)
    for stray in strays:
        ends(stray.process, _END_TIMEOUT_S)
    return sorted(stray.vm for stray in strays)


def _command_line(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def _place(entry: Path) -> Path | None:
    """Where a process runs, though the directory may be gone."""
    try:
        return Path(str((entry / "cwd").readlink()).removesuffix(" (deleted)"))
    except OSError:
        return None


def _vm(words: str) -> str | None:
    found = re.search(r"guest=((?:[^,]|,,)*),debug-threads", words)
    return None if found is None else found[1].replace(",,", ",")
