"""Reader: hands over a log's entries in order, each once, through all that may happen to the broker."""

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pika
from pika.channel import Channel
from schema.ids import InstanceName, Offset
from typing_extensions import override

from bus.dedup import Dedup
from bus.logs import about, of_entry
from bus.loop import Action, Loop, guarded
from bus.place import Place, anchor_of
from bus.ports import Entry
from bus.quarantine import Arrival, Quarantined, judge, writer
from bus.rabbit.connection import ChannelOwner
from bus.rabbit.constants import (
    IDLE_S,
    MARKER_RETRY_S,
    MARKERS_MISSED_MAX,
    STREAM_ACK_EVERY,
    STREAM_PREFETCH,
    UNUSED_OFFSETS_MAX,
)
from bus.rabbit.stream import Logs
from bus.snapshots import SnapshotError
from bus.topology import log_stream

_log = logging.getLogger("bus")

_MARKER = "marker"
"""The AMQP type of a message that is no record: it shows its sender where the log's end was."""

MARKS_UNSEEN = 2
"""After so many marks that did not come by, one looks whether the log still is as long as it was."""

_SAID_EACH = 10
_SAID_EVERY = 1_000
"""Each of the first records in quarantine is logged, then one in so many: who forges cannot fill a disk."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What somebody wants of a log: the arguments of `Bus.tail`; with `since` of `LookingBus.tail_since`."""

    instance: InstanceName
    start: Offset
    on_entry: Callable[[Entry], None]
    on_live: Action
    logs: Logs
    place: Place = field(default_factory=Place)
    since: float | None = None

    def wants(self, entry: Entry) -> bool:
        """Whether an entry that counts is handed over."""
        return entry.offset >= self.start and (self.since is None or entry.at >= self.since)


OnLost = Callable[[InstanceName, str], None]
"""Told of a log that is not the one any more that was read, and why."""


def say_lost(instance: InstanceName, reason: str) -> None:
    """What is done where nobody wants to know: a process that only looks on."""
    _log.critical("nothing more is read of the log of %s: %s; start anew", instance, reason)


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of what a reader does not hand over."""

    on_quarantined: Callable[[Quarantined], None]
    on_lost: OnLost
    holds: Callable[[InstanceName, Place], bool]
    """Whether a log holds a place; takes its time, so not on the bus's thread."""
    on_known: Callable[[], None] = lambda: None
    """A log was taken up again, and is the one that was read."""


class Reader(ChannelOwner):
    """One place in one log, which is read from a place where the writers' numbers are known.

    Whenever it is taken up again, what was read last must still stand where it stood: a log that the broker
    has lost and made anew, or has lost the end of, or has dropped more of than was read, is told from that.
    """

    def __init__(self, loop: Loop, wanted: Subscription, watch: Watch) -> None:
        super().__init__()
        self._loop = loop
        self._wanted = wanted
        self._watch = watch
        self._quarantined = 0
        self._next: int = wanted.place.next
        self._last: tuple[bytes, str | None] | None = None
        self._is_live = False
        self._is_proven = True
        self._is_lost = False
        self._dedup = Dedup(wanted.place.producers)
        self._marker = ""
        self._marks = 0
        self._is_idle = False

    @property
    def instance(self) -> InstanceName:
        """Whose log it reads."""
        return self._wanted.instance

    def place(self) -> Place:
        """Where it is: behind the entry that is being handed over."""
        anchor = anchor_of(*self._last) if self._last else self._wanted.place.anchor
        return Place(Offset(self._next), anchor, self._dedup.last())

    def knows(self) -> bool:
        """Whether its log is the one that it has read; one of which it has read nothing is."""
        return self._next == 0 or (self.is_ready and self._is_proven and not self._is_lost)

    @override
    def set_up(self, channel: Channel) -> None:
        if self._is_lost:
            self.mark_ready()
            return
        channel.add_on_cancel_callback(lambda _: channel.close())  # the stream was deleted, or has moved
        channel.basic_qos(prefetch_count=STREAM_PREFETCH)
        self._wanted.logs.declare(channel, self._wanted.instance, lambda: self._consume(channel))

    def _consume(self, channel: Channel) -> None:
        self._is_proven = self._next == 0
        channel.basic_consume(
            log_stream(self._wanted.instance),
            self._on_message,
            arguments={"x-stream-offset": self._beginning()},
            callback=lambda _: self._in_place(channel),
        )

    def _beginning(self) -> int | datetime:
        """From where the broker is to send: what was read last comes once more; by time, a whole chunk."""
        if self._next == 0 and self._wanted.since is not None:
            return datetime.fromtimestamp(self._wanted.since, UTC)
        return max(0, self._next - 1)

    def _in_place(self, channel: Channel) -> None:
        self.mark_ready()
        self._seek_end(channel)
        self._loop.later(IDLE_S, lambda: self._watch_idle(channel))

    def _watch_idle(self, channel: Channel) -> None:
        """A reader whose next record the broker has dropped hears nothing more, and no word of that."""
        if channel is not self._channel or not channel.is_open:
            return
        if self._is_idle and not self._marker:
            self._seek_end(channel)
        self._is_idle = True
        self._loop.later(IDLE_S, lambda: self._watch_idle(channel))

    def _seek_end(self, channel: Channel) -> None:
        self._marker = uuid.uuid4().hex
        self._marks = 0
        self._mark_end(channel)

    def _mark_end(self, channel: Channel) -> None:
        """Put a marker behind all that is confirmed; when it comes by, this reader is live."""
        if not self._marker or channel is not self._channel or not channel.is_open:
            return
        self._loop.later(MARKER_RETRY_S, lambda: self._mark_end(channel))
        if self.blocked is not None:
            return
        self._marks += 1
        if self._marks == MARKERS_MISSED_MAX:
            _log.critical(
                "the end of the log %s does not come by, it is read anew: if that does not help, look at the "
                "broker's log, and at its disk",
                self._wanted.instance,
            )
            channel.close()  # what is read next may have been dropped; the broker says nothing of it
            return
        if not self._is_proven and self._marks == MARKS_UNSEEN:
            threading.Thread(target=self._look, name="log-end", daemon=True).start()
        properties = pika.BasicProperties(type=_MARKER, correlation_id=self._marker)
        channel.basic_publish("", log_stream(self._wanted.instance), b"", properties)

    def _on_message(
        self,
        channel: Channel,
        deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        offset = _offset(properties)
        self._marks = 0
        self._is_idle = False
        tag = deliver.delivery_tag or 0
        if tag % STREAM_ACK_EVERY == 0 and channel.is_open:
            channel.basic_ack(tag, multiple=True)
        is_mark = properties.type == _MARKER and properties.correlation_id == self._marker
        if self._is_lost:
            return
        if not self._is_proven:
            self._prove(offset, (body, properties.correlation_id), is_mark=is_mark)
        elif self._next and offset > self._next + UNUSED_OFFSETS_MAX:
            self._lose(
                f"it goes on at {offset}, and was read up to {self._next - 1}: the broker has dropped more"
            )
        if self._is_lost:
            return
        if is_mark:
            self._pass_marker()
        if offset < self._next:
            return  # the broker begins with the whole chunk that holds the offset
        self._last = (body, properties.correlation_id)
        if self._next == 0 and offset > 0:
            self._dedup = Dedup(truncated=True)
        self._next = offset + 1
        if properties.type != _MARKER:
            arrival = Arrival(
                deliver.exchange or "", deliver.routing_key or "", properties.user_id or None, body
            )
            self._pass_entry(Offset(offset), arrival, _confirmed(properties))

    def _prove(self, offset: int, message: tuple[bytes, str | None], *, is_mark: bool) -> None:
        """Look whether this is the log that was read: what was read last still stands where it stood."""
        before = self._next - 1
        if offset == before and anchor_of(*message) == self.place().anchor:
            self._is_proven = True
            self._watch.on_known()
        elif offset == before:
            self._lose(f"another record stands at {before} now: the broker has lost the log, or its end")
        elif offset > before:
            self._lose(f"it begins at {offset} now, and was read up to {before}: the broker has dropped more")
        elif is_mark:
            self._lose(f"it ends at {offset} now, and was read up to {before}: the broker has lost its end")

    def _look(self) -> None:
        """A log that ends before the place is silent: the broker waits until it has grown so far."""
        try:
            is_held = self._watch.holds(self._wanted.instance, self.place())
        except SnapshotError as error:
            _log.warning("whether the log of %s is the same is not known: %s", self._wanted.instance, error)
            return
        if not is_held:
            self._loop.soon(self._lose_end)

    def _lose_end(self) -> None:
        if not self._is_proven:
            self._lose("it ends before what was read: the broker has lost its end")

    def _lose(self, reason: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        guarded(lambda: self._watch.on_lost(self._wanted.instance, reason))

    def _pass_marker(self) -> None:
        self._marker = ""
        if not self._is_live:
            self._is_live = True
            guarded(self._wanted.on_live)

    def _pass_entry(self, offset: Offset, arrival: Arrival, confirmed: int) -> None:
        judged = judge(self._wanted.instance, offset, arrival)
        if isinstance(judged, Quarantined):
            self._pass_over(judged, confirmed)
            return
        if not self._dedup.accepts(writer(arrival.user, judged.producer), judged.seq, confirmed):
            return
        entry = Entry(offset, judged.at, judged.record, judged.producer, judged.seq)
        if self._wanted.wants(entry):
            with about(lambda: of_entry(entry)):
                guarded(lambda: self._wanted.on_entry(entry))

    def _pass_over(self, one: Quarantined, confirmed: int) -> None:
        """A record that this version cannot read, a newer writer's or nobody's: the next ones count."""
        self._quarantined += 1
        if self._quarantined <= _SAID_EACH or self._quarantined % _SAID_EVERY == 0:
            _log.error(
                "record %d of %s is in quarantine, the %d. since the start: %s",
                *(one.offset, log_stream(one.log), self._quarantined, one.reason),
            )
        if one.producer is not None and one.seq is not None:
            self._dedup.accepts(writer(one.user, one.producer), one.seq, confirmed)
        guarded(lambda: self._watch.on_quarantined(one))


def _confirmed(properties: pika.BasicProperties) -> int:
    """What the publisher says of those before (see there); nothing, where an earlier version wrote."""
    said = properties.message_id
    return int(said) if said and said.isdecimal() and len(said) < 19 else 0


def _offset(properties: pika.BasicProperties) -> int:
    value = (properties.headers or {}).get("x-stream-offset")
    return value if isinstance(value, int) else 0
