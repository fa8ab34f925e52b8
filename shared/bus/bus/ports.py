"""Ports: all that a service may ask of the bus, whichever bus it is.

A service has one `Bus`. Its handlers run one at a time on the bus's own thread, so cores need no locks;
every method here may be called from any thread.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from schema.ids import InstanceName, Offset
from schema.records import Record

from bus.clock import SYSTEM_CLOCK, Clock
from bus.quarantine import Quarantined

BEGINNING = Offset(0)
"""The first offset of any log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as read: where it stands, and when its producer made it, in seconds since the epoch.

    `producer` is the process that wrote it, as its `seq`th record: for people, no fold needs it.
    """

    offset: Offset
    at: float
    record: Record
    producer: str = field(default="", compare=False)
    seq: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Request:
    """A message to a queue that somebody serves. Without `reply_to` nobody waits for an answer.

    `traceparent` names the span that sent it; whoever sends it is to be trusted no more than for its body.
    """

    body: bytes
    reply_to: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerSeen:
    """The broker as one's own connection shows it.

    `product` is its name and version, `address` that of the node that is connected to, or tried; `trouble` is
    why it is not reached, `blocked` why it takes no messages: "" where that is not so.
    """

    product: str
    address: str
    trouble: str = ""
    blocked: str = ""


class BusError(Exception):
    """The bus could not do what was asked; the sentence says what, and what to do."""


class BusUnavailableError(BusError):
    """The broker cannot be reached, or the bus is closed."""


class UndeliveredError(BusUnavailableError):
    """A request has reached nobody: to send it again does nothing twice."""


class NoConnectionError(UndeliveredError):
    """A request was not even sent: there is no connection to the broker."""


class LostError(BusUnavailableError):
    """The way that a request went by has broken: it may have been served, and its answer is lost."""


class UnknownInstanceError(UndeliveredError):
    """The bus has never had an instance of that name: to wait for it will not help."""


class BusRefusedError(BusUnavailableError):
    """The broker does not know this user, or another password of his: trying again will not help."""


class BusAddressError(BusUnavailableError):
    """What the bus was told of the broker makes no sense: trying again will not help."""


class BusBlockedError(BusError):
    """The broker takes no more messages for now (memory or disk alarm), or too much waits for it."""


class RequestTimeoutError(BusError):
    """Nobody answered a request in time."""


class Fold(Protocol):
    """What a log comes to for one service: it can be put away, and taken up by another process."""

    def on_entry(self, entry: Entry) -> None:
        """Take the next entry."""

    def on_live(self) -> None:
        """All that was in the log is read."""

    def snapshot(self) -> Iterator[bytes]:
        """What it is now, as lines of JSON; made at leisure, on another thread, while it goes on.

        So whatever this method takes, it takes at once, and cheaply: the bus's thread waits for it.
        """

    def restore(self, lines: Iterable[bytes]) -> None:
        """Become what a snapshot says, or stay as new; called before anything else, on another thread.

        Raises:
            SnapshotError: it is of another version, which this one does not read.
        """


OnAnswer = Callable[[bytes | BusError], None]
"""Told once what became of a request."""


class Bus(Protocol):
    """One service's connection to one bus; `clock` is the time that its timers run by."""

    clock: Clock = SYSTEM_CLOCK

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
        whose record this version cannot read, or that did not come as its kind must, is passed over, logged,
        and told to those of `quarantined`.
        """

    def follow(self, instance: InstanceName, service: str, fold: Fold) -> None:
        """As `tail`, for a service's own fold: from its last snapshot on, and with new ones now and then.

        `service` tells whose snapshots they are: replicas that fold alike share them, nobody else.
        """

    def quarantined(self, on_quarantined: Callable[[Quarantined], None]) -> None:
        """Be told of every message that is passed over in any log read here, from this call on."""

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
            UndeliveredError: nobody serves the queue, or there is no connection to the broker.
            LostError: the connection was lost meanwhile: it may have been served all the same.
        """

    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        """Send a request and wait for nothing: `on_answer` is told on the bus's thread, always once.

        Whatever reply address the question has does not count. `on_answer` gets the answer, or the error that
        `call` would raise.
        """

    def listen(
        self,
        listener: socket.socket,
        protocols: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serve a bound stream socket (Unix or TCP) on the bus's own thread, until the bus is closed.

        `protocols` makes what speaks with one client. It is the bus's from here on; a Unix socket's path is
        its owner's to remove. With `tls` clients must speak TLS; one that does not is let go.
        """

    def accept(self, listener: socket.socket, on_connection: Callable[[socket.socket], None]) -> None:
        """Take the connections of a bound stream socket as they are: files may come along.

        On the bus's own thread. No connection blocks; each is `on_connection`'s own to close. The listener
        is the bus's from here on.
        """

    def adopt(self, connected: socket.socket, protocols: Callable[[], asyncio.BaseProtocol]) -> None:
        """Serve a connected stream socket like those of `listen`; to be called on the bus's thread."""

    def every(self, interval_s: float, action: Callable[[], None]) -> None:
        """Do `action` on the bus's thread again and again, first after one interval."""

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do `action` on the bus's thread once, after a while; to a millisecond or so."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Do `action` on the bus's thread, soon."""

    def broker(self) -> BrokerSeen:
        """What is between this process and the others; to be called on the bus's thread."""
        return BrokerSeen("memory", "this process")

    def knows(self, instance: InstanceName) -> bool:  # noqa: ARG002  who can tell, overrides this
        """Whether there is an instance of that name, or may be; False: there never was, for it has no log.

        It may ask the broker, and wait for it: not to be called from the bus's own thread.
        """
        return True

    def is_sure_of(self, instance: InstanceName) -> bool:  # noqa: ARG002  who can doubt, overrides this
        """Whether what was read here of an instance's log is known to stand in it still.

        Not so while the broker is away, and afterwards until what was read last is found again: the log may
        be another one by now. To be called on the bus's thread.
        """
        return True

    def ready(self, timeout_s: float) -> None:
        """Wait until connected and all that was asked for so far is in place.

        Raises:
            BusUnavailableError: not within `timeout_s`; says what was tried.
            BusRefusedError: at once, where the broker does not let this user in.
        """

    def close(self) -> None:
        """Send what waits to be sent, end the thread. Idempotent."""


class LookingBus(Bus, Protocol):
    """A bus by which people look at a log, of which they need no more than its end."""

    def tail_since(
        self,
        instance: InstanceName,
        at: float,
        on_entry: Callable[[Entry], None],
        on_live: Callable[[], None],
    ) -> None:
        """As `tail`, of what was written from a time on, in seconds since the epoch.

        What stands before is not read. So a record that its writer had to repeat just there may be handed
        over, though it had counted before; of those that are handed over, each is so once.
        """
