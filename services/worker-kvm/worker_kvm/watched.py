"""Watched: what is seen of a guest from outside, whoever runs its QEMU, and waiting for it to change."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from engine.backend import Execution
from schema.atomics.vm import DomainAction


class Status(Enum):
    """What the guest does."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    """It shut down, reset or crashed; QEMU holds what is left of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a guest from outside."""

    status: Status
    memory_bytes: int
    """What it has, its balloon taken off."""


class Watched:
    """A guest as events tell of it; safe for any thread. Who changes what is seen holds `_told`."""

    def __init__(self) -> None:
        self._told = threading.Condition()
        self._status = Status.PAUSED
        self._memory_bytes = 0
        self._asked: DomainAction | None = None
        self._asleep = False

    @property
    def status(self) -> Status:
        """What the guest does now."""
        return self._status

    @property
    def seen(self) -> Seen:
        """What is seen of the guest now."""
        return Seen(self._status, self._memory_bytes)

    @property
    def asked(self) -> DomainAction | None:
        """What the guest wants that has ended; None while it has not."""
        return self._asked

    @property
    def asleep(self) -> bool:
        """Whether the guest sleeps in its memory (ACPI S3); it counts as running."""
        return self._asleep

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for what events bring; answers whether it came in time."""
        with self._told:
            return self._told.wait_for(until, timeout_s)

    def wait_ended(self, execution: Execution, timeout_s: float) -> bool:
        """Wait until the guest has ended; a cancel raises. Answers whether it has in time."""
        return self.wait_for(execution, lambda: self._status is Status.ENDED, timeout_s)

    def wait_for(self, execution: Execution, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for what events bring; a cancel raises. Answers whether it came in time."""
        cancelled = threading.Event()

        def wake() -> None:
            cancelled.set()
            self.notify()

        with execution.cancellable(wake):
            self.wait(lambda: cancelled.is_set() or until(), timeout_s)
        execution.check_cancelled()
        return until()

    def notify(self) -> None:
        """Have those who wait look again."""
        with self._told:
            self._told.notify_all()
