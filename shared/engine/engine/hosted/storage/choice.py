"""Choice: which storage a worker's operator has chosen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.ports import Bus
from bus.process import SettingsError

from engine.hosted.storage.directory import DirectoryStorage
from engine.hosted.storage.ports import Storage
from engine.hosted.storage.service import StorageService

_QUEUE = re.compile(r"[A-Za-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True)
class StorageChoice:
    """The directory of SRs, or the queue of a storage service, or neither."""

    directory: Path | None = None
    queue: str | None = None

    def open(self, bus: Bus, *, takes_nbd: bool) -> Storage | None:
        """The storage, for a backend that can connect to NBD servers, or not; None: there is none."""
        if self.queue is not None:
            return StorageService(bus, self.queue, takes_nbd=takes_nbd)
        return None if self.directory is None else DirectoryStorage(self.directory)


NO_STORAGE = StorageChoice()
"""No disk is named so."""


def storage_choice(environment: Mapping[str, str]) -> StorageChoice:
    """What was chosen, if anything was.

    `XENOPS_SR_DIRECTORY` has a directory for each SR, with its disks (none: no SRs); or
    `XENOPS_STORAGE_QUEUE` is the queue of a storage service that has them.

    Raises:
        SettingsError: both are said, or no queue is called so.
    """
    directory = environment.get("XENOPS_SR_DIRECTORY")
    queue = environment.get("XENOPS_STORAGE_QUEUE") or None
    if queue is not None and directory:
        raise SettingsError(
            "XENOPS_SR_DIRECTORY and XENOPS_STORAGE_QUEUE are both set: disks named SR/VDI are of one of both"
        )
    if queue is not None and not _QUEUE.fullmatch(queue):
        raise SettingsError(
            f"XENOPS_STORAGE_QUEUE is {queue!r}: give a queue's name, as org.xen.xapi.storage"
        )
    return StorageChoice(Path(directory).absolute() if directory else None, queue)
