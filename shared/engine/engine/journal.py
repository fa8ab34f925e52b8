"""Journal: which lease a VM was last executed under, and how that ended; what a restarted worker goes by.

One small file for each VM, replaced as a whole. Nothing is flushed to the disk: a host that crashes loses its
VMs, too. A worker that crashes leaves an entry that is begun and not ended.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from schema.fault import internal_error
from schema.ids import LeaseToken, TaskId, VmId
from schema.operations import Operation
from schema.records import Finished


class JournalEntry(BaseModel):
    """The last execution of a VM: begun, and, with `finished`, ended."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    vm: VmId
    task: TaskId
    token: LeaseToken
    operation: Operation
    finished: Finished | None = None


class FencedError(Exception):
    """A lease is older than one that this VM was already executed under: it must not be obeyed."""


class Journal:
    """The entries under one directory; each VM's is written by whoever holds its lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, vm: VmId) -> JournalEntry | None:
        """A VM's last execution; none if it never was, or its file is damaged."""
        try:
            return JournalEntry.model_validate_json((self._directory / f"{vm}.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def begin(self, entry: JournalEntry) -> None:
        """An execution begins.

        Raises:
            FencedError: an execution under the same or a later lease was begun before.
        """
        last = self.read(entry.vm)
        if last is not None and last.token >= entry.token:
            raise FencedError(f"lease {entry.token} of VM {entry.vm}: lease {last.token} came before it")
        self._write(entry)

    def end(self, entry: JournalEntry, finished: Finished) -> None:
        """An execution has ended; kept, so that a restarted worker can say it again."""
        self._write(entry.model_copy(update={"finished": finished}))

    def unfinished(self) -> Iterator[JournalEntry]:
        """The executions that were begun and never ended: their worker has crashed."""
        for path in sorted(self._directory.glob("*.json")):
            entry = self.read(VmId(path.stem))
            if entry is not None and entry.finished is None:
                yield entry

    def forget(self, vm: VmId) -> None:
        """A VM is gone."""
        (self._directory / f"{vm}.json").unlink(missing_ok=True)

    def _write(self, entry: JournalEntry) -> None:
        try:
            handle, draft = tempfile.mkstemp(dir=self._directory, prefix=".draft-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(entry.model_dump_json().encode())
                Path(draft).replace(self._directory / f"{entry.vm}.json")
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(draft).unlink()
                raise
        except OSError as error:
            raise internal_error(
                f"cannot note in {self._directory} that VM {entry.vm} is executed: {error.strerror}; "
                "make room on that disk, then try again"
            ) from error
