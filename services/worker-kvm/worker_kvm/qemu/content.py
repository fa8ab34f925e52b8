"""Content: where a disk's bytes are on this host; and the overlays of disks that forget what is written."""

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from engine.hosted.localdisk import format_of, refuse_unless_disk
from schema.fault import XenopsError, internal_error
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.vbd import Vbd, VbdMode, VbdType

from worker_kvm.qemu.imagefile import Place, local_place, storages_place
from worker_kvm.qemu.machine import Source
from worker_kvm.storage import NoStorage, Storage, Use

SUSPENDED = "suspended"
"""What a domain has its suspend image as, for storage; no VBD's name is like it."""

OVERLAYS = "overlays"
"""The directory that is for overlays alone."""

_QEMU_IMG_TIMEOUT_S = 60.0


class Content:
    """The disks of a host, local ones and those of its storage; overlays live in `directory`."""

    def __init__(self, directory: Path, storage: Storage | None = None) -> None:
        self._directory = directory
        self._storage = storage or NoStorage()

    def find(self, vbd: Vbd, disk: Disk, domid: int) -> Source:
        """Where a disk is for a domain, or the overlay of its epoch; storage has it attached from now on.

        Errors: `Internal_error` that names the file; those of `Storage.attach`.
        """
        found = disk.path if isinstance(disk, LocalDisk) else self._storage.attach(_use(vbd, disk, domid))
        if isinstance(found, Source):
            return found
        source = Source(path=found, format=format_of(vbd, found), is_device=refuse_unless_disk(found))
        overlay = self._overlay(disk)
        if not overlay.exists():
            return source
        if overlay.stat().st_size == 0:
            _make_overlay(overlay, source)
        return Source(path=str(overlay), format="qcow2")

    def open(self, vbd: Vbd, disk: Disk, domid: int) -> Source:
        """The same of one that is opened at once. Errors: those of `find` and `activate`."""
        source = self.find(vbd, disk, domid)
        self.activate(vbd, disk, domid)
        return source

    def activate(self, vbd: Vbd, disk: Disk | None, domid: int) -> None:
        """A disk that was found is opened from now on. Errors: those of `Storage.activate`."""
        if isinstance(disk, Vdi):
            self._storage.activate(_use(vbd, disk, domid))

    def deactivate(self, vbd: Vbd, disk: Disk | None, domid: int, *, force: bool = False) -> None:
        """It is closed. By force, what storage says to that is not waited for: `release` follows.

        Errors: those of `Storage.deactivate`.
        """
        if isinstance(disk, Vdi):
            with suppress(XenopsError) if force else nullcontext():
                self._storage.deactivate(_use(vbd, disk, domid))

    def release(self, vbd: Vbd, disk: Disk | None, domid: int) -> None:
        """Nothing of a domain uses it any more."""
        if isinstance(disk, Vdi):
            self._storage.detach(_use(vbd, disk, domid))

    @contextmanager
    def image(self, disk: Disk, domid: int, *, read_only: bool) -> Iterator[Place]:
        """Where a suspend image is, while inside. Errors: those of `Storage` and `storages_place`."""
        if isinstance(disk, LocalDisk):
            yield local_place(disk.path)
            return
        use = Use(disk.name, domid, SUSPENDED, read_only)
        found = self._storage.attach(use)
        try:
            place = storages_place(disk.name, found)
            self._storage.activate(use)
            yield place
        finally:
            self._storage.detach(use)

    def begin(self, disk: Disk, domid: int | None, *, persistent: bool) -> None:
        """A life of a disk's content begins.

        One that is not persistent has what is written go to an overlay, made when the disk is first found.
        Errors: those of `Storage.begin`; what `Storage.attach` says of a disk that is not known.
        """
        if isinstance(disk, Vdi) and self._storage.keeps_epochs:
            self._storage.begin(disk.name, domid, persistent=persistent)
        elif not persistent:
            if isinstance(disk, Vdi):
                self._storage.attach(Use(disk.name, domid or 0, ""))  # which is to be known before it begins
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._overlay(disk).write_bytes(b"")

    def end(self, disk: Disk, domid: int | None) -> None:
        """That life ends, and the overlay with it; there is none, nothing to do. Errors: `Storage.end`'s."""
        if isinstance(disk, Vdi):
            self._storage.end(disk.name, domid)
        self._overlay(disk).unlink(missing_ok=True)

    def _overlay(self, disk: Disk) -> Path:
        digest = hashlib.sha256(disk.model_dump_json().encode()).hexdigest()
        return self._directory / f"{digest}.qcow2"


def _use(vbd: Vbd, disk: Vdi, domid: int) -> Use:
    read_only = vbd.ty is VbdType.CDROM or vbd.mode is VbdMode.READ_ONLY
    return Use(disk.name, domid, vbd.id.device, read_only)


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
