"""The log of an instance, as whoever may read it sees it: what stands in it, in order, and what comes."""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum, auto
from types import TracebackType
from typing import Self

from bus.exported import Standing
from bus.ports import BEGINNING, BusUnavailableError, LookingBus
from bus.quarantine import Quarantined
from schema.ids import InstanceName, Offset

from xenops.calling import CALL_TIMEOUT_S, away_s
from xenops.client import connect_bus
from xenops.unix import SCHEME

PATIENCE_S = 10.0
"""How long a log may take to be there: while a broker fails over it is led by nobody for some seconds."""

AHEAD_MAX = 10_000
"""So much is read ahead of who looks at it; then the broker waits for him, too."""

SILENCE_S = 1.0
"""After so long without anything, before the end was reached, one asks whether the log can be read at all."""

ROOM_S = 0.2
"""How often a reader for whom there is no room looks whether it is still wanted."""


class _End(Enum):
    LIVE = auto()
    """All that was there is read."""
    CLOSED = auto()


class Log:
    """Reads one instance's log. What comes out is what every service reads, each record once, in order."""

    def __init__(self, bus: LookingBus, instance: str, *, patience_s: float = PATIENCE_S) -> None:
        self.instance = InstanceName(instance)
        self._bus = bus
        self._patience_s = patience_s
        self._read: queue.Queue[Standing | _End] = queue.Queue(AHEAD_MAX)
        self._closed = threading.Event()
        self.is_live = False
        """Whether all that was there when the reading began has come out."""

    def read(self, start: Offset = BEGINNING, *, follow: bool = False) -> Iterator[Standing]:
        """All that stands there from `start` on, what no service takes as well; to be called once.

        It ends with what was there when it began. To `follow` is to wait for more, until it is closed.
        Whether a record counts depends on those before it, so all of the log is read, wherever `start` is.

        Raises:
            BusUnavailableError: the log is not there, or this user may not read it.
        """
        self._bus.quarantined(lambda one: self._on_quarantined(one, is_wanted=one.offset >= start))
        self._bus.tail(self.instance, start, self._put, lambda: self._put(_End.LIVE))
        return self._coming(follow=follow)

    def read_since(self, at: float, *, follow: bool = False) -> Iterator[Standing]:
        """As `read`, of what was written from a time on, in seconds since the epoch.

        What is older is not read, so this is quick however long the log is. Where the reading begins, a
        record may come out that its writer repeated there, though it had counted before.

        Raises:
            BusUnavailableError: the log is not there, or this user may not read it.
        """
        self._bus.quarantined(lambda one: self._on_quarantined(one, is_wanted=one.at is None or one.at >= at))
        self._bus.tail_since(self.instance, at, self._put, lambda: self._put(_End.LIVE))
        return self._coming(follow=follow)

    def _coming(self, *, follow: bool) -> Iterator[Standing]:
        while not self._closed.is_set():
            try:
                one = self._read.get(timeout=None if self.is_live else SILENCE_S)
            except queue.Empty:
                self._expect_more()
                continue
            if not isinstance(one, _End):
                yield one
                continue
            self.is_live = True
            if one is _End.CLOSED or not follow:
                return

    def _on_quarantined(self, one: Quarantined, *, is_wanted: bool) -> None:
        if one.log == self.instance and is_wanted:
            self._put(one)

    def _put(self, one: Standing | _End) -> None:
        """On the bus's thread, which waits where too much is read ahead."""
        while not self._closed.is_set():
            try:
                self._read.put(one, timeout=ROOM_S)
            except queue.Full:
                continue
            return

    def _expect_more(self) -> None:
        try:
            self._bus.ready(self._patience_s)
        except BusUnavailableError as error:
            if self._read.empty():  # else its thread was busy with what it has read
                raise BusUnavailableError(
                    f"the log of {self.instance} is not read: {error} Logs are read by the broker's user "
                    "xenops-operator; a client's may not (see docs/security.md)"
                ) from error

    def close(self) -> None:
        """Close the bus; whoever reads has read enough."""
        self._closed.set()
        self._bus.close()
        with suppress(queue.Full):  # then he need not be woken
            self._read.put_nowait(_End.CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def open_log(url: str, instance: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Log:
    """The log of an instance at the broker at `url`, whose user must be allowed to read it.

    A broker that is away is waited for as by a client whose calls may take `timeout_s`.

    Raises:
        BusUnavailableError: the broker is not reached in time, or `url` is no broker's.
    """
    if url.startswith(SCHEME):
        raise BusUnavailableError(
            "services without a broker keep their log in memory, where nobody else reads it: give the URL "
            "of a broker, as amqp://user:secret@host:5672/"
        )
    patience_s = min(PATIENCE_S, away_s(timeout_s))
    return Log(connect_bus(url, "xenops-log", timeout_s), instance, patience_s=patience_s)
