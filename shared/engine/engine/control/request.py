"""Request context: what every answer is made from, and what a request may have the worker do."""

from dataclasses import dataclass, field
from typing import Protocol

from schema.ids import VmId
from schema.operations import VbdCheckState
from schema.records import ObserverRecord, Record

from engine.perform.context import Context


class WorkerHandle(Protocol):
    """What a request may do to the worker itself."""

    def is_rebooting(self, vm: VmId) -> bool:
        """Whether a VM is between its two lives: to clients it runs."""

    def has_arrived(self, vm: VmId) -> bool:
        """Whether that is the arrived id of a VM that was taken in here, wherever it is now."""

    def is_leaving(self, vm: VmId) -> bool:
        """Whether a VM bears its departing id here: nobody who manages VMs knows it under that."""

    def set_capacity(self, capacity: int) -> None:
        """Execute so many VMs at a time."""

    def cancel_next(self, dbg: str, point: int) -> None:
        """The next task of that name cancels itself at that cancel point."""

    def check(self, check: VbdCheckState) -> None:
        """Have it looked at what a disk wants, as a task that nobody has asked for."""


class Observing(Protocol):
    """Who keeps the observers of the instance."""

    def change(self, record: ObserverRecord) -> None:
        """Write a change down, so that every service follows. Errors: `Internal_error`."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request's: what it changes is told in `records`."""

    context: Context
    worker: WorkerHandle
    observers: Observing
    instance: str
    records: list[Record] = field(default_factory=list)
