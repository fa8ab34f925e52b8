"""Live: a domain that libvirt has: what its guest does, kept true by events."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from schema.atomics.vm import DomainAction
from virt.handover import Departure
from virt.values import (
    AgentHeard,
    Ballooned,
    ClockSet,
    DeviceRemoved,
    DeviceStays,
    DomainInfo,
    DomainStatus,
    Ended,
    How,
    Panicked,
    Paused,
    Resumed,
    Slept,
    TrayMoved,
    VirtEvent,
)

from worker_kvm.libvirt.ending import action_after
from worker_kvm.qemu.ending import tail
from worker_kvm.watched import Status, Watched

SETTLE_TIMEOUT_S = 5.0
"""The event of what libvirt has just done has been heard by then."""


class LiveListener(Protocol):
    """Whom a live domain tells what happens by itself; must not wait."""

    def on_ended(self, uuid: str, action: DomainAction) -> None:
        """The guest has ended, or its QEMU with it."""

    def on_status(self, uuid: str) -> None:
        """The guest was paused or let run by something other than us: `virsh`, or storage that is full."""

    def on_device(self, uuid: str, alias: str) -> None:
        """The guest has let go of a device that nobody asked it for, or opened a drive, unless we have."""

    def on_clock(self, uuid: str, clock_s: int) -> None:
        """The guest has set its clock, so far from UTC."""

    def on_agent(self, uuid: str, *, is_open: bool) -> None:
        """The guest has opened or closed the port of its agent."""


class Live(Watched):
    """One domain; safe for any thread."""

    def __init__(self, uuid: str, log: Path, listener: LiveListener) -> None:
        super().__init__()
        self.uuid = uuid
        self._log = log
        self._listener = listener
        self._removed: set[str] = set()
        self._refused: set[str] = set()
        self._expected: set[str] = set()
        self.trays = threading.Lock()
        """Held by who changes what is in a drive."""
        self._changing = False
        self._leaving = False
        self.is_over = False
        """Whether libvirt has it no more, as far as that was heard, or seen."""
        self.departure: Departure | None = None
        """Of one on its way to another host, until that is decided."""

    def look(self, info: DomainInfo | None) -> None:
        """Take what libvirt says of it, as after a time in which no event was heard; None: it is gone."""
        if info is None or info.status is DomainStatus.ENDED:
            self.is_over = True
            self._end(self._action(None))
            return
        self._memory_bytes = info.memory_bytes
        self._asleep = info.asleep
        if info.status is DomainStatus.CRASHED:
            self._end(DomainAction.CRASHDUMP)
        else:
            self._tell(Status.RUNNING if info.status is DomainStatus.RUNNING else Status.PAUSED)

    def on_event(self, event: VirtEvent) -> None:
        """What libvirt has told of it."""
        match event:
            case Ended(how=how):
                self.is_over = True
                self._end(self._action(how))
            case Panicked():
                self._end(DomainAction.CRASHDUMP)
            case Paused():
                self._tell(Status.PAUSED)
            case Resumed():
                self._tell(Status.RUNNING)
            case Ballooned(memory_bytes=size):
                self._memory_bytes = size
            case DeviceRemoved(alias=alias):
                self._note(self._removed, alias)
                if alias not in self._expected:
                    self._listener.on_device(self.uuid, alias)
            case TrayMoved(alias=alias, is_open=is_open):
                if is_open:
                    self._listener.on_device(self.uuid, alias)
            case DeviceStays(alias=alias):
                self._note(self._refused, alias)
            case AgentHeard(is_open=is_open):
                self._listener.on_agent(self.uuid, is_open=is_open)
            case ClockSet(clock_s=clock_s):
                self._listener.on_clock(self.uuid, clock_s)
            case Slept(asleep=asleep):
                self._asleep = asleep
                self.notify()

    def change(self, act: Callable[[], None], status: Status) -> None:
        """Have libvirt pause or unpause it, and wait until that has been heard."""
        self._changing = True
        try:
            act()
            self.wait(lambda: self._status in {status, Status.ENDED}, SETTLE_TIMEOUT_S)
        finally:
            self._changing = False

    def count_as_paused(self) -> None:
        """A guest that has ended stays where it is."""
        with self._told:
            self._status = Status.PAUSED

    def leave(self) -> None:
        """It is ended by us: that is no news."""
        self._leaving = True

    def stay(self) -> None:
        """It was not ended after all."""
        self._leaving = False

    def expect_removal(self, alias: str) -> None:
        """Another device of that alias may have gone before."""
        with self._told:
            self._removed.discard(alias)
            self._refused.discard(alias)
            self._expected.add(alias)

    def await_removal(self, alias: str, timeout_s: float) -> bool:
        """Wait until the guest has let go of a device; answers whether it has."""
        self.wait(lambda: alias in self._removed or alias in self._refused, timeout_s)
        return alias in self._removed

    def _action(self, how: How | None) -> DomainAction:
        return action_after(how, tail(self._log))

    def _end(self, action: DomainAction) -> None:
        if self._leaving or self._asked is not None:
            return
        with self._told:
            self._asked = action
            self._status = Status.ENDED
            self._told.notify_all()
        self._listener.on_ended(self.uuid, action)

    def _tell(self, status: Status) -> None:
        with self._told:
            if self._asked is not None or self._status is status:
                return
            self._status = status
            self._told.notify_all()
        if not (self._changing or self._leaving):
            self._listener.on_status(self.uuid)

    def _note(self, names: set[str], alias: str) -> None:
        with self._told:
            names.add(alias)
            self._told.notify_all()
