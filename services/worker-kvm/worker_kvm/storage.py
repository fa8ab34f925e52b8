"""Storage: where the disks are that clients name `SR/VDI`; built in: a directory of directories."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from schema.fault import XenopsError, internal_error
from schema.objects.errors import DoesNotExist, Unimplemented
from typing_extensions import override

from worker_kvm.qemu.machine import Source

SUFFIXES = (".raw", ".qcow2")
"""Of a disk's file; it says the format, which is never guessed."""


@dataclass(frozen=True, slots=True)
class Use:
    """A disk as one device of one domain has it; a storage service knows that by these names."""

    name: str
    """`SR/VDI`."""
    domid: int
    device: str
    read_only: bool = False


class Storage(Protocol):
    """A host's storage. Each verb is idempotent."""

    @property
    def keeps_epochs(self) -> bool:
        """Whether it has disks forget what is written by itself."""

    def attach(self, use: Use) -> str | Source:
        """Get a disk ready: a source, or a file, of which presence and format are still to be seen.

        Errors: `Does_not_exist("VDI", name)` and others.
        """

    def activate(self, use: Use) -> None:
        """It is opened from now on; it was attached before. Errors: those of the storage."""

    def deactivate(self, use: Use) -> None:
        """Nobody has it open any more. Errors: those of the storage."""

    def detach(self, use: Use) -> None:
        """It is not used any more, and never again under that name."""

    def begin(self, name: str, domid: int | None, *, persistent: bool) -> None:
        """A life of its content begins; not persistent, what is written is forgotten at its end."""

    def end(self, name: str, domid: int | None) -> None:
        """That life ends; the domain may be gone."""


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
    def begin(self, name: str, domid: int | None, *, persistent: bool) -> None:
        """Nothing to do."""

    @override
    def end(self, name: str, domid: int | None) -> None:
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
