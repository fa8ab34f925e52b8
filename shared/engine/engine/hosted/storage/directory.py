"""Directory: storage that is a directory of directories, and a host that has no storage."""

from pathlib import Path

from schema.fault import XenopsError, internal_error
from schema.objects.errors import DoesNotExist, Unimplemented
from typing_extensions import override

from engine.hosted.machine import Source
from engine.hosted.storage.ports import Storage, Use

SUFFIXES = (".raw", ".qcow2")
"""Of a disk's file; it says the format, which is never guessed."""


class _Present(Storage):
    """One whose disks are simply there: nobody need hear who uses them."""

    @property
    @override
    def keeps_epochs(self) -> bool:
        return False

    @override
    def activate(self, use: Use) -> None:
        """Nothing to do."""

    @override
    def deactivate(self, use: Use) -> None:
        """Nothing to do."""

    @override
    def detach(self, use: Use) -> None:
        """Nothing to do."""

    @override
    def begin(self, name: str, owner: str | None, *, persistent: bool) -> None:
        """Nothing to do."""

    @override
    def end(self, name: str, owner: str | None) -> None:
        """Nothing to do."""


class NoStorage(_Present):
    """A host without any."""

    @override
    def attach(self, use: Use) -> str | Source:
        """Errors: `Unimplemented`."""
        raise XenopsError(
            Unimplemented(
                what=f"VBD.plug of the VDI {use.name}: neither XENOPS_SR_DIRECTORY names a directory "
                "of SRs, nor XENOPS_STORAGE_QUEUE a storage service"
            )
        )


class DirectoryStorage(_Present):
    """SRs are directories in `root`, VDIs files in them: `SR/VDI.raw` or `SR/VDI.qcow2`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @override
    def attach(self, use: Use) -> str | Source:
        """Errors: `Does_not_exist("VDI", name)`, `Internal_error` for a name that is none."""
        name = use.name
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
