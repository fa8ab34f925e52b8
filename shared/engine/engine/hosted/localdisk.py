"""Localdisk: disks that are files or devices of this host: whether they are there, and in which format."""

import os
import stat
from pathlib import Path
from typing import Final, Literal

from schema.fault import internal_error, unimplemented
from schema.objects.disk import LocalDisk
from schema.objects.vbd import Vbd

from engine.image import Image

FORMAT_KEY: Final = "format"
"""In a VBD's `extra_backend_keys`: `raw` or `qcow2`, where the file's name does not say it."""

DiskFormat = Literal["raw", "qcow2"]


def refuse_unless_disk(path: str) -> bool:
    """A disk's content must be there; answers whether it is a block device.

    Errors: `Internal_error` that names the file.
    """
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
    return stat.S_ISBLK(mode)


def format_of(vbd: Vbd, path: str) -> DiskFormat:
    """A disk's format; it is never guessed from what a guest may have written into it.

    Errors: `Internal_error` that names the file.
    """
    match dict(vbd.extra_backend_keys).get(FORMAT_KEY) or ("qcow2" if path.endswith(".qcow2") else "raw"):
        case "raw" | "qcow2" as format_:
            return format_
        case other:
            raise internal_error(f"The disk {path} is said to have the format {other!r}: give raw or qcow2")


def image_path(image: Image, verb: str) -> Path:
    """The path of a suspend image. Errors: `Unimplemented` for what is no file of this host."""
    if isinstance(image, LocalDisk):
        return Path(image.path)
    raise unimplemented(f"{verb} anything but a local file")


def refuse_unless_file(path: Path) -> None:
    """A suspend that breaks off removes its image: that must be nothing that was there for another purpose.

    Errors: `Unimplemented`.
    """
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise unimplemented(f"VM.suspend to {path}, which is no plain file")
