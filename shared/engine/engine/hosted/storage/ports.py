"""Ports: what a host's storage is asked of the disks that clients name `SR/VDI`."""

from dataclasses import dataclass
from typing import Protocol

from engine.hosted.machine import Source


@dataclass(frozen=True, slots=True)
class Use:
    """A disk as one device of one domain has it; a storage service knows that by these names."""

    name: str
    """`SR/VDI`."""
    owner: str
    """The domain: its number, or its VM's id where a domain has disks before it has a number."""
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

    def begin(self, name: str, owner: str | None, *, persistent: bool) -> None:
        """A life of its content begins; not persistent, what is written is forgotten at its end."""

    def end(self, name: str, owner: str | None) -> None:
        """That life ends; the domain may be gone."""
