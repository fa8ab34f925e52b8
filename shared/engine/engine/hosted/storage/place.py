"""Place: where a suspend image is on a disk of this host."""

import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from schema.fault import XenopsError
from schema.objects.errors import Unimplemented

from engine.hosted.machine import Source

_DRAFT = ".partial"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is; `lasts`: what is there is written over, as a device, or a file that is storage's."""

    path: Path
    lasts: bool

    @property
    def draft(self) -> Path | None:
        """Where it is written to until it is whole; None: in its place."""
        return None if self.lasts else self.path.with_name(self.path.name + _DRAFT)


def local_place(path: str) -> Place:
    """Of an image on a disk of this host."""
    return Place(Path(path), _is_device(Path(path)))


def storages_place(name: str, source: str | Source) -> Place:
    """Of an image on a VDI. Errors: `Unimplemented`, it is no raw file or device."""
    match source:
        case str() as path if not path.endswith(".qcow2"):
            return Place(Path(path), lasts=True)
        case Source(path=path, format="raw", export=None):
            return Place(Path(path), lasts=True)
        case _:
            what = f"a suspend image on the VDI {name}, which its storage has not as a raw file or a device"
            raise XenopsError(Unimplemented(what=what))


def _is_device(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return stat.S_ISBLK(path.stat().st_mode)
    return False
