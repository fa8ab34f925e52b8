"""Content: disks that forget what is written have overlays, which take it."""

import hashlib
import subprocess
from pathlib import Path

from engine.hosted.machine import Source
from engine.hosted.storage.content import Content, source_in
from engine.hosted.storage.ports import Storage, Use
from schema.fault import internal_error
from schema.objects.disk import Disk, Vdi
from schema.objects.vbd import Vbd
from typing_extensions import override

OVERLAYS = "overlays"
"""The directory that is for overlays alone."""

_QEMU_IMG_TIMEOUT_S = 60.0


class OverlaidContent(Content):
    """The disks of a host; overlays live in `directory`."""

    def __init__(self, directory: Path, storage: Storage | None = None) -> None:
        super().__init__(storage)
        self._directory = directory

    @override
    def _in_file(self, vbd: Vbd, disk: Disk, path: str) -> Source:
        """The file, or the overlay of its epoch."""
        source = source_in(vbd, path)
        overlay = self._overlay(disk)
        if not overlay.exists():
            return source
        if overlay.stat().st_size == 0:
            _make_overlay(overlay, source)
        return Source(path=str(overlay), format="qcow2")

    @override
    def _forget_later(self, disk: Disk, owner: str | None) -> None:
        """It goes to an overlay, made when the disk is first found.

        Errors: what storage says of a disk that is not known.
        """
        if isinstance(disk, Vdi):
            self._storage.attach(Use(disk.name, owner or "", ""))  # which is to be known before it begins
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._overlay(disk).write_bytes(b"")

    @override
    def end(self, disk: Disk, owner: str | None) -> None:
        """With the overlay."""
        super().end(disk, owner)
        self._overlay(disk).unlink(missing_ok=True)

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
