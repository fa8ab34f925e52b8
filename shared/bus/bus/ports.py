"""Ports: all that a service may ask of the bus, whichever bus it is.

A service has one `Bus`. Its handlers run one at a time on the bus's own thread, so cores need no locks;
every method here may be called from any thread.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from schema.ids import InstanceName, Offset
from schema.records import Record

BEGINNING = Offset(0)
"""The first offset of any log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as read: where it stands, and when its producer made it, in seconds since the epoch."""

    offset: Offset
    at: float
    record: Record


@dataclass(frozen=True, slots=True)
class Request:
    """A message to a queue that somebody serves. Without `reply_to` nobody waits for an answer."""

    body: bytes
    reply_to: str | None = None
    correlation_id: str | None = None


class BusError(Exception):
    """The bus could not do what was asked; the sentence says what, and what to do."""


class BusUnavailableError(BusError):
    """The broker cannot be reached, or the bus is closed."""


class BusBlockedError(BusError):
    """The broker takes no more messages for now (memory or disk alarm), or too much waits for it."""


class RequestTimeoutError(BusError):
    """Nobody answered a request in time."""


class Bus(Protocol):
    """One service's connection to one bus."""

    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        """Append to an instance's log, in order, each exactly once for every reader.

        The future ends when the broker has confirmed all of them. While the broker is out of reach, records
        wait, up to a limit. It fails with `BusBlockedError` at once, when the broker takes nothing or too
        much waits already: then nothing was appended. It fails with `BusUnavailableError` when the bus was
        closed before: then records may still be met in the log. Its callbacks run on the bus's thread.
        """

    def tail(
        self,
        instance: InstanceName,
        start: Offset,
        on_entry: Callable[[Entry], None],
        on_live: Callable[[], None],
    ) -> None:
        """Hand over every entry from `start` on, in order, for ever; `on_live` once, when caught up.

        Caught up means: every record that was confirmed before this call has been handed over. An entry
        whose record this version cannot read is passed over and logged.
        """

    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        """Take requests from a queue, shared with whoever else serves it; it is made if it is not there."""

    def inbox(self, on_message: Callable[[Request], None]) -> str:
        """Make a queue of our own, that dies with us; answers its name."""

    def lead(self, queue: str, on_change: Callable[[bool], None]) -> None:
        """Stand for the only holder of `queue`; told True when we hold it and False when we have lost it.

        Another may hold it already when we are told False: whoever leads must prove it by other means, too.
        """

    def send(self, queue: str, request: Request) -> None:
        """Send to a queue and wait for nothing; from a queue that is not there it comes back, see below."""

    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        """Be told of every message of ours that reached no queue: the queue's name, and the message."""

    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        """Send a request and wait for its answer: not from the bus's own thread.

        Raises:
            RequestTimeoutError: nobody answered in time.
            BusUnavailableError: nobody serves the queue, or the broker cannot be reached. If the connection
                was lost meanwhile, the request may have been served all the same.
        """

    def every(self, interval_s: float, action: Callable[[], None]) -> None:
        """Do `action` on the bus's thread again and again, first after one interval."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Do `action` on the bus's thread, soon."""

    def ready(self, timeout_s: float) -> None:
        """Wait until connected and all that was asked for so far is in place.

        Raises:
            BusUnavailableError: not within `timeout_s`; says what was tried.
        """

    def close(self) -> None:
        """Send what waits to be sent, end the thread. Idempotent."""
