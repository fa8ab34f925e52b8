"""Sweep: the QEMUs of a run directory, found by their command lines, whatever is noted of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bus.pids import start_time

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
    """Every QEMU whose console is below a run directory."""
    console = re.compile(re.escape(f"path={run}/".replace(",", ",,")) + r"(\d+)/console")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        words = _command_line(entry / "cmdline")
        found = console.search(words)
        started = start_time(int(entry.name))
        if found and started is not None:
            process = Process(pid=int(entry.name), started=started)
            yield Stray(process, int(found[1]), _vm(words))


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


def _vm(words: str) -> str:
    found = re.search(r"guest=((?:[^,]|,,)*),debug-threads", words)
    return found[1].replace(",,", ",") if found else "?"
