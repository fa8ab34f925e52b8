"""Content: where a disk's bytes are on this host."""

import stat
from pathlib import Path

from schema.fault import XenopsError, internal_error
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.errors import Unimplemented
from schema.objects.vbd import Vbd

from worker_xen.xenlight.machine import Source

FORMAT_KEY = "format"
"""In a VBD's `extra_backend_keys`: `raw` or `qcow2`, where the file's name does not say it."""


def local_path(disk: Disk, verb: str) -> str:
    """The path of a local disk. Errors: `Unimplemented` for a disk of a storage service."""
    match disk:
        case LocalDisk(path=path):
            return path
        case Vdi(name=name):
            raise XenopsError(Unimplemented(what=f"{verb} of the VDI {name}: only local disks are known"))


def find_source(vbd: Vbd, disk: Disk) -> Source:
    """Where a disk is; its format is never guessed from what a guest may have written into it.

    Errors: `Internal_error` that names the file.
    """
    path = local_path(disk, "VBD.plug")
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
    match dict(vbd.extra_backend_keys).get(FORMAT_KEY) or ("qcow2" if path.endswith(".qcow2") else "raw"):
        case "raw" | "qcow2" as format_:
            return Source(path=path, format=format_)
        case other:
            raise internal_error(f"The disk {path} is said to have the format {other!r}: give raw or qcow2")
