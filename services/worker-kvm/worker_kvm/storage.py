"""Storage: where the disks are that clients name `SR/VDI`; built in: a directory of directories."""

from pathlib import Path
from typing import Protocol

from schema.fault import XenopsError, internal_error
from schema.objects.errors import DoesNotExist, Unimplemented

SUFFIXES = (".raw", ".qcow2")
"""Of a disk's file; it says the format, which is never guessed."""


class Storage(Protocol):
    """A host's storage."""

    def locate(self, name: str) -> str:
        """The file or device of a disk by its name. Errors: `Does_not_exist("VDI", name)` and others."""


class NoStorage:
    """A host without any."""

    def locate(self, name: str) -> str:
        """Errors: `Unimplemented`."""
        raise XenopsError(
            Unimplemented(what=f"VBD.plug of the VDI {name}: XENOPS_SR_DIRECTORY names no directory of SRs")
        )


class DirectoryStorage:
    """SRs are directories in `root`, VDIs files in them: `SR/VDI.raw` or `SR/VDI.qcow2`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def locate(self, name: str) -> str:
        """Errors: `Does_not_exist("VDI", name)`, `Internal_error` for a name that is none."""
        repository, _, disk = name.partition("/")
        if not (_is_plain(repository) and _is_plain(disk)):
            raise internal_error(
                f"{name!r} is no name of a disk: give SR/VDI, each without a slash, and beginning with no dot"
            )
        candidates = [self._root / repository / f"{disk}{suffix}" for suffix in SUFFIXES]
        try:
            found = [path for path in candidates if path.exists()]
        except OSError as error:
            raise internal_error(f"The disk {name!r} cannot be looked for: {error}") from error
        match found:
            case []:
                raise XenopsError(DoesNotExist(klass="VDI", id=name))
            case [path]:
                return str(path)
            case _:
                raise internal_error(
                    f"The disk {name!r} is there twice, as {' and '.join(path.name for path in found)} in "
                    f"{self._root / repository}: remove the one that is not it"
                )


def _is_plain(word: str) -> bool:
    return bool(word) and not word.startswith(".") and "/" not in word and word.isprintable()
