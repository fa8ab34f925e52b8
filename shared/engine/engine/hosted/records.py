"""Records: what a backend knows of each VM, in a file each, so that a restarted worker knows it again.

The directory belongs to one process at a time. It is emptied when the host was booted anew: no domain that is
noted in it lives then.
"""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from schema.fault import internal_error

from engine.swap import take_place

TAKE_TIMEOUT_S = 40.0
"""How long a predecessor may take to end: it finishes what it executes first."""

_TAKE_POLL_S = 0.05

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RunDirectoryInUseError(Exception):
    """Another process serves these VMs."""


class Record(BaseModel):
    """What is known of one VM; blank, with nothing but its id, as of a VM never heard of."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    id: str

    def is_blank(self) -> bool:
        """Whether nothing is known of it."""
        return self == type(self)(id=self.id)

    def but(self, **fields: Any) -> Self:
        """The same but for these fields."""
        return self.model_copy(update=fields)


R = TypeVar("R", bound=Record)
"""A backend's record."""


class Records(Generic[R]):
    """All records of one run directory. What changes one is quick and pure: all are locked meanwhile."""

    def __init__(self, kind: type[R], run: Path, backend: str, patience_s: float = TAKE_TIMEOUT_S) -> None:
        """Take the directory for a backend, as XENOPS_BACKEND calls it.

        Raises:
            RunDirectoryInUseError: another process has it.
            XenopsError: it cannot be written, or has the VMs of another backend.
        """
        self._kind = kind
        self.run = run
        self.lock = threading.Lock()
        with self.explained("take the run directory"):
            run.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._owner = os.open(run / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._take(patience_s)
                self._forget_another_boot()
                self._vms.mkdir(exist_ok=True)
                self._refuse_anothers(backend)
                self._records = dict(self._read_all())
            except BaseException:
                self.close()
                raise

    @property
    def _vms(self) -> Path:
        return self.run / "vm"

    def all(self) -> list[R]:
        """Every VM of which something is known."""
        with self.lock:
            return list(self._records.values())

    def read(self, vm: str) -> R:
        """One VM; blank for one never heard of."""
        return self._records.get(vm) or self._kind(id=vm)

    def change(self, vm: str, change: Callable[[R], R]) -> R:
        """Replace a record by what `change` makes of it, and answer that; a blank one is forgotten."""
        with self.lock:
            before = self.read(vm)
            after = change(before)
            if after is not before and after != before:
                with self.explained(f"note what became of VM {vm}"):
                    self._put(after)
            return after

    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id; none by the old one, nothing to do."""
        with self.lock, self.explained(f"rename VM {vm} to {name}"):
            record = self._records.get(vm)
            if record is not None and vm != name:
                self._put(record.but(id=name))
                self._forget(vm)

    def remove(self, vm: str) -> None:
        """Forget a VM."""
        with self.lock, self.explained(f"forget VM {vm}"):
            self._forget(vm)

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._owner)

    def _take(self, patience_s: float) -> None:
        end = time.monotonic() + patience_s
        while not self._is_taken():
            if time.monotonic() > end:
                raise RunDirectoryInUseError(
                    f"another worker serves the VMs in {self.run}, for {patience_s:g} s now: stop it, or "
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
        boot, noted = _BOOT_ID.read_text(), self.run / "boot"
        if noted.exists() and noted.read_text() == boot:
            return
        for path in self.run.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        replace(noted, boot.encode())

    def _refuse_anothers(self, backend: str) -> None:
        """Each backend notes its own way, and can end only what is its own."""
        noted = self.run / "backend"
        other = noted.read_text() if noted.exists() else backend
        if other != backend and any(self._vms.glob("*.json")):
            raise internal_error(
                f"the VMs noted in {self.run} are of the backend {other}, and this worker's is {backend}: "
                f"set XENOPS_BACKEND={other} and shut them down first, or give it another XENOPS_RUN_DIR"
            )
        replace(noted, backend.encode())

    def _read_all(self) -> Iterator[tuple[str, R]]:
        for path in sorted(self._vms.glob("*.json")):
            try:
                record = self._kind.model_validate_json(path.read_bytes())
            except ValidationError as error:
                sentence = (
                    f"the record {path} of a VM is damaged: see which domain is its, end it, remove the file"
                )
                raise internal_error(sentence) from error
            yield record.id, record

    def _put(self, record: R) -> None:
        if record.is_blank():
            self._forget(record.id)
            return
        replace(self._vms / f"{record.id}.json", record.model_dump_json().encode())
        self._records[record.id] = record

    def _forget(self, vm: str) -> None:
        self._records.pop(vm, None)
        (self._vms / f"{vm}.json").unlink(missing_ok=True)

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """While inside, what the disk refuses becomes an `Internal_error`."""
        try:
            yield
        except OSError as error:
            raise internal_error(
                f"cannot {what} in {self.run}: {error.strerror}; see to the disk and its rights"
            ) from error


def replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all; not flushed: a host that crashes loses its VMs, too."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    take_place(str(draft), str(path))
