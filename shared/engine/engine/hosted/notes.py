"""Notes: what verbs ask of a hypervisor that notes its VMs."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from engine.hosted.machine import HostedMachine

MachineT = TypeVar("MachineT", bound=HostedMachine[Any, Any, Any])


class Notes(Protocol[MachineT]):
    """The VMs of this host; safe for any thread."""

    def look(self, vm: str) -> MachineT:
        """What is known of a VM; blank for one never heard of."""

    def noted(self, vm: str) -> MachineT:
        """The same, and a domain that has ended without us."""

    def change(self, vm: str, change: Callable[[MachineT], MachineT]) -> MachineT:
        """Change what is known; see `Records.change`."""


HostT = TypeVar("HostT", bound=Notes[Any])
"""A backend's hypervisor."""
