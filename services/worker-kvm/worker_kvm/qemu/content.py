"""Content: where a disk's bytes are on this host; and the overlays of disks that forget what is written."""

import hashlib
import subprocess
from pathlib import Path

from engine.hosted.localdisk import format_of, refuse_unless_disk
from schema.fault import internal_error
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.vbd import Vbd

from worker_kvm.qemu.machine import Source
from worker_kvm.storage import NoStorage, Storage

OVERLAYS = "overlays"
"""The directory that is for overlays alone."""

_QEMU_IMG_TIMEOUT_S = 60.0


class Content:
    """The disks of a host, local ones and those of its storage; overlays live in `directory`."""

    def __init__(self, directory: Path, storage: Storage | None = None) -> None:
        self._directory = directory
        self._storage = storage or NoStorage()

    def find(self, vbd: Vbd, disk: Disk) -> Source:
        """Where a disk is, or the overlay of its epoch.

        Errors: `Internal_error` that names the file; those of `Storage.locate`.
        """
        path = self._path(disk)
        is_device = refuse_unless_disk(path)
        source = Source(path=path, format=format_of(vbd, path), is_device=is_device)
        overlay = self._overlay(disk)
        if not overlay.exists():
            return source
        if overlay.stat().st_size == 0:
            _make_overlay(overlay, source)
        return Source(path=str(overlay), format="qcow2")

    def begin(self, disk: Disk) -> None:
        """From now on what is written to a disk goes to an overlay, made when the disk is first found."""
        self._path(disk)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._overlay(disk).write_bytes(b"")

    def end(self, disk: Disk) -> None:
        """Forget the overlay; there is none, nothing to do."""
        self._overlay(disk).unlink(missing_ok=True)

    def _path(self, disk: Disk) -> str:
        match disk:
            case LocalDisk(path=path):
                return path
            case Vdi(name=name):
                return self._storage.locate(name)

    def _overlay(self, disk: Disk) -> Path:
        digest = hashlib.sha256(disk.model_dump_json().encode()).hexdigest()
        return self._directory / f"{digest}.qcow2"


def _make_overlay(overlay: Path, source: Source) -> None:
    base = ["-F", source.format, "-b", str(Path(source.path).absolute())]
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *base, str(overlay)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_QEMU_IMG_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise internal_error(
            f"Cannot make an overlay for the disk {source.path}: {error}; is qemu-utils installed?"
        ) from error
    if done.returncode:
        overlay.write_bytes(b"")
        raise internal_error(f"Cannot make an overlay for the disk {source.path}: {done.stderr.strip()}")
