"""Listener: whom a QEMU that runs tells what happens by itself."""

from typing import Protocol

from schema.atomics.vm import DomainAction


class Listener(Protocol):
    """Whom a live QEMU tells what happens by itself; called from the monitors' thread."""

    def on_ended(self, domid: int, action: DomainAction) -> None:
        """The guest has ended, or its QEMU with it."""

    def on_status(self, domid: int) -> None:
        """The guest was paused or let run by something other than us: storage that is full, say."""

    def on_device(self, domid: int, device: str) -> None:
        """The guest has let go of a device, or opened the tray of a drive, perhaps by itself."""

    def on_clock(self, domid: int, offset_s: int) -> None:
        """The guest has set its clock, by so much from where that of its QEMU began."""

    def on_filter(self, domid: int) -> None:
        """The guest wants other frames of an interface, as with an address that is new."""

    def on_port(self, domid: int, *, is_open: bool) -> None:
        """The guest has opened or closed the port of its agent."""
