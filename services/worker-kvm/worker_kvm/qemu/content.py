"""Content: where a disk's bytes are on this host; and the overlays of disks that forget what is written."""

import hashlib
import stat
import subprocess
from pathlib import Path

from schema.fault import XenopsError, internal_error
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.errors import Unimplemented
from schema.objects.vbd import Vbd

from worker_kvm.qemu.machine import Source

FORMAT_KEY = "format"
"""In a VBD's `extra_backend_keys`: `raw` or `qcow2`, where the file's name does not say it."""

_QEMU_IMG_TIMEOUT_S = 60.0


class Content:
    """The disks of a host; overlays live in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, vbd: Vbd, disk: Disk) -> Source:
        """Where a disk is, or the overlay of its epoch.

        Errors: `Internal_error` that names the file; `Unimplemented` for a disk of a storage service.
        """
        source = _source(_local(disk), dict(vbd.extra_backend_keys).get(FORMAT_KEY))
        overlay = self._overlay(disk)
        if not overlay.exists():
            return source
        if overlay.stat().st_size == 0:
            _make_overlay(overlay, source)
        return Source(path=str(overlay), format="qcow2")

    def begin(self, disk: Disk) -> None:
        """From now on what is written to a disk goes to an overlay, made when the disk is first found."""
        _local(disk)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._overlay(disk).write_bytes(b"")

    def end(self, disk: Disk) -> None:
        """Forget the overlay; there is none, nothing to do."""
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


def _local(disk: Disk) -> str:
    match disk:
        case LocalDisk(path=path):
            return path
        case Vdi(name=name):
            raise XenopsError(Unimplemented(what=f"VBD.plug of the VDI {name}: only local disks are known"))


def _source(path: str, chosen: str | None) -> Source:
    try:
        mode = Path(path).stat().st_mode
        with Path(path).open("rb"):
            pass
    except FileNotFoundError as error:
        sentence = f"There is no disk {path} on this host: make it, or correct the VBD's backend"
        raise internal_error(sentence) from error
    except (OSError, ValueError) as error:
        raise internal_error(f"The disk {path} cannot be read: {error}; see to its rights") from error
    if stat.S_ISDIR(mode):
        raise internal_error(f"The disk {path} is a directory: name a file or a block device")
    is_device = stat.S_ISBLK(mode)
    match chosen or ("qcow2" if path.endswith(".qcow2") else "raw"):
        case "raw" | "qcow2" as format_:
            return Source(path=path, format=format_, is_device=is_device)
        case other:
            raise internal_error(f"The disk {path} is said to have the format {other!r}: give raw or qcow2")
