"""Domains: what these verbs ask of a host, whichever toolstack makes its domains."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from worker_xen.xenlight.machine import Domain, Machine
from worker_xen.xenlight.values import DomainInfo
from worker_xen.xenlight.xenstore import Nodes

Change = Callable[[Machine], Machine]
"""Quick and pure: it runs while all records are locked. One that answers what it was given writes nothing."""


class Domains(Protocol):
    """The domains of this host that are ours; safe for any thread."""

    nodes: Nodes

    def look(self, vm: str) -> Machine:
        """What is known of a VM; a domain that is there no more, it has not."""

    def noted(self, vm: str) -> Machine:
        """The same, and a domain that has ended without us."""

    def seen(self, vm: str) -> tuple[Machine, DomainInfo | None]:
        """What is known of a VM, and its domain as the host has it."""

    def running(self, vm: str) -> tuple[Domain, int]:
        """A VM's domain that Xen has, and its number. Errors: `Does_not_exist`, `Domain_not_built`."""

    def change(self, vm: str, change: Change) -> Machine:
        """Change what is known; see `Records.change`."""

    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id."""

    def remove(self, vm: str) -> None:
        """Forget a VM."""

    def destroy(self, vm: str) -> None:
        """End a VM's domain and forget it; there is none, nothing to do."""


Host = TypeVar("Host", bound=Domains)
