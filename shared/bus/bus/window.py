"""Window: records under way to the log, in order, until the broker has confirmed them; go-back-N."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from bus.ports import BusBlockedError

WINDOW_RECORDS_MAX = 20_000
"""Records that may wait for confirmation: some seconds of full speed, some megabytes."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One envelope, ready to be sent."""

    seq: int
    routing_key: str
    body: bytes
    log: str = ""
    number: int = 0
    """Which record it is of those to its log, from 1."""


@dataclass(slots=True)
class Window:
    """What has been accepted for sending and is not confirmed, and who waits for it.

    Sending goes over channels: each new channel begins again with the first unconfirmed parcel, and its
    delivery tags count from 1. A parcel leaves the window when it and all before it are confirmed.
    """

    limit: int = WINDOW_RECORDS_MAX
    _parcels: deque[Parcel] = field(default_factory=deque)
    _waiters: deque[tuple[int, Future[None]]] = field(default_factory=deque)
    _outbox: list[Parcel] = field(default_factory=list)
    _first_tag_seq: int = 1
    _confirmed: set[int] = field(default_factory=set)
    _last_seq: int = 0
    _numbers: dict[str, int] = field(default_factory=dict)
    _settled: dict[str, int] = field(default_factory=dict)

    def admit(self, count: int) -> None:
        """Let so many more parcels come.

        Raises:
            BusBlockedError: too many wait already.
        """
        if len(self._parcels) + count > self.limit:
            raise BusBlockedError(
                f"{len(self._parcels)} records wait for the broker's confirmation; only {self.limit} may: "
                "the broker is too slow or out of reach; look at its log and its alarms"
            )

    def accept(self, parcels: list[tuple[str, bytes]], future: Future[None], log: str = "") -> None:
        """Take parcels (routing key, body) to a log, in order; `future` ends when the last is confirmed."""
        for key, body in parcels:
            self._last_seq += 1
            self._numbers[log] = self._numbers.get(log, 0) + 1
            parcel = Parcel(self._last_seq, key, body, log, self._numbers[log])
            self._parcels.append(parcel)
            self._outbox.append(parcel)
        self._waiters.append((self._last_seq, future))

    def restart(self) -> None:
        """A new channel: everything unconfirmed is to be sent again, in order."""
        self._outbox = list(self._parcels)
        self._first_tag_seq = self._parcels[0].seq if self._parcels else self._last_seq + 1
        self._confirmed.clear()

    def to_send(self) -> list[Parcel]:
        """The parcels to send now on the channel, in order; they count as sent."""
        parcels, self._outbox = self._outbox, []
        return parcels

    def confirm(self, tag: int, *, multiple: bool) -> list[Future[None]]:
        """A delivery tag of this channel (and all before it) is confirmed; answers who may go on."""
        seq = self._first_tag_seq + tag - 1
        self._confirmed.add(seq)
        while self._parcels and self._confirmed_now(self._parcels[0].seq, seq, multiple=multiple):
            first = self._parcels.popleft()
            self._confirmed.discard(first.seq)
            self._settled[first.log] = first.number
        return self._released()

    def _confirmed_now(self, first: int, seq: int, *, multiple: bool) -> bool:
        return first in self._confirmed or (multiple and first <= seq)

    def _released(self) -> list[Future[None]]:
        done = self._parcels[0].seq - 1 if self._parcels else self._last_seq
        released = []
        while self._waiters and self._waiters[0][0] <= done:
            released.append(self._waiters.popleft()[1])
        return released

    def settled(self, log: str) -> int:
        """Up to which number the broker has confirmed the records to a log."""
        return self._settled.get(log, 0)

    def waiting(self) -> list[Future[None]]:
        """Who waits for a confirmation, the longest first."""
        return [future for _, future in self._waiters]

    def abandon(self) -> list[Future[None]]:
        """Give everything up; answers who waited in vain."""
        futures = self.waiting()
        self._waiters.clear()
        self._parcels.clear()
        self._outbox.clear()
        return futures

    @property
    def front(self) -> int:
        """The number of the first parcel that is not confirmed: while it stands still, so do all readers.

        Later parcels may be confirmed all the same, when the broker has lost this one.
        """
        return self._parcels[0].seq if self._parcels else self._last_seq + 1

    def unconfirmed(self) -> int:
        """How many parcels wait, sent or not."""
        return len(self._parcels)
