"""The door to a xenstore: what of its protocol a store needs."""

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class XenstoreError(Exception):
    """The daemon could not do what was asked; the sentence says why and what to do."""


class Reading(Protocol):
    """What may be asked, in a transaction or without one. Errors: `XenstoreError`."""

    def read(self, path: str) -> bytes | None:
        """A node's value; None where there is no such node."""

    def names(self, path: str) -> list[str] | None:
        """The names in a directory; None where there is no such node."""


class Transaction(Reading, Protocol):
    """What is done in one piece, or not at all."""

    def write(self, path: str, value: bytes) -> None:
        """Set a node's value, 1 to 2,000 printable letters; what is missing above it is made."""

    def remove(self, path: str) -> None:
        """Remove a node, whose parent exists, with all that is below it."""


class Xenstore(Reading, Protocol):
    """A xenstore. Safe for use by any thread."""

    def within(self, act: Callable[[Transaction], T]) -> T:
        """Do something in a transaction: again from the beginning when another one came between.

        What `act` raises ends the transaction without effect.
        """
