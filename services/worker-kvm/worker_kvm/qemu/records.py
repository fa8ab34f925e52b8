"""Records: what is known of each VM, in a file each, so that a restarted worker knows it again.

The directory belongs to one process at a time: QEMU's monitors take one client each. It is emptied when the
host was booted anew, for then no QEMU in it lives.
"""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from schema.fault import internal_error

from worker_kvm.qemu.machine import Machine

Change = Callable[[Machine], Machine]
"""Quick and pure: it runs while all records are locked. One that answers what it was given writes nothing."""

TAKE_TIMEOUT_S = 40.0
"""How long a predecessor may take to end: it finishes what it executes first."""

_TAKE_POLL_S = 0.05

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RunDirectoryInUseError(Exception):
    """Another process serves these VMs."""


class Records:
    """All machines of one run directory."""

    def __init__(self, run: Path, patience_s: float = TAKE_TIMEOUT_S) -> None:
        """Take the directory.

        Raises:
            RunDirectoryInUseError: another process has it.
            XenopsError: it cannot be written.
        """
        self._run = run
        self._lock = threading.Lock()
        with self._explained("take the run directory"):
            run.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._owner = os.open(run / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take(patience_s)
            self._forget_another_boot()
            self._vms.mkdir(exist_ok=True)
            self._machines = dict(self._read_all())

    @property
    def _vms(self) -> Path:
        return self._run / "vm"

    def all(self) -> list[Machine]:
        """Every VM of which something is known."""
        with self._lock:
            return list(self._machines.values())

    def read(self, vm: str) -> Machine:
        """One VM; blank for one never heard of."""
        return self._machines.get(vm) or Machine(id=vm)

    def change(self, vm: str, change: Change) -> Machine:
        """Replace a record by what `change` makes of it, and answer that; a blank one is forgotten."""
        with self._lock:
            before = self.read(vm)
            after = change(before)
            if after is not before and after != before:
                with self._explained(f"note what became of VM {vm}"):
                    self._put(after)
            return after

    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id; none by the old one, nothing to do."""
        with self._lock, self._explained(f"rename VM {vm} to {name}"):
            machine = self._machines.get(vm)
            if machine is not None and vm != name:
                self._put(machine.but(id=name))
                self._forget(vm)

    def remove(self, vm: str) -> None:
        """Forget a VM."""
        with self._lock, self._explained(f"forget VM {vm}"):
            self._forget(vm)

    def next_domid(self) -> int:
        """A number that no domain has had since the host's boot, from 1."""
        counter = self._run / "domid"
        with self._lock, self._explained("number a domain"):
            number = 1 + (int(counter.read_text()) if counter.exists() else 0)
            _replace(counter, str(number).encode())
            return number

    def sockets(self, domid: int) -> Path:
        """The directory of a domain's sockets, which need not be there."""
        return self._run / str(domid)

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._owner)

    def _take(self, patience_s: float) -> None:
        end = time.monotonic() + patience_s
        while not self._is_taken():
            if time.monotonic() > end:
                os.close(self._owner)
                raise RunDirectoryInUseError(
                    f"another worker serves the VMs in {self._run}, for {patience_s:g} s now: stop it, or "
                    "set XENOPS_RUN_DIR to a directory of this worker's own"
                )
            time.sleep(_TAKE_POLL_S)

    def _is_taken(self) -> bool:
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _forget_another_boot(self) -> None:
        boot, noted = _BOOT_ID.read_text(), self._run / "boot"
        if noted.exists() and noted.read_text() == boot:
            return
        for path in self._run.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        _replace(noted, boot.encode())

    def _read_all(self) -> Iterator[tuple[str, Machine]]:
        for path in sorted(self._vms.glob("*.json")):
            try:
                machine = Machine.model_validate_json(path.read_bytes())
            except ValidationError as error:
                sentence = (
                    f"the record {path} of a VM is damaged: see which QEMU is its, end it, remove the file"
                )
                raise internal_error(sentence) from error
            yield machine.id, machine

    def _put(self, machine: Machine) -> None:
        if machine.is_blank():
            self._forget(machine.id)
            return
        _replace(self._vms / f"{machine.id}.json", machine.model_dump_json().encode())
        self._machines[machine.id] = machine

    def _forget(self, vm: str) -> None:
        self._machines.pop(vm, None)
        (self._vms / f"{vm}.json").unlink(missing_ok=True)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise internal_error(
                f"cannot {what} in {self._run}: {error.strerror}; see to the disk and its rights"
            ) from error


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all; not flushed: a host that crashes loses its VMs, too."""
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(content)
    draft.replace(path)
