"""Reader: hands over a log's entries in order, each once, through all that may happen to the broker."""

import logging
import uuid
from collections.abc import Callable

import pika
from pika.channel import Channel
from pydantic import ValidationError
from schema.ids import InstanceName, Offset
from schema.records import ENVELOPE

from bus.dedup import Dedup
from bus.ports import Entry
from bus.rabbit.constants import (
    MARKER_RETRY_S,
    STREAM_ACK_EVERY,
    STREAM_BYTES_MAX,
    STREAM_PREFETCH,
    STREAM_SEGMENT_BYTES_MAX,
)
from bus.rabbit.loop import Action, Loop, guarded
from bus.topology import EXCHANGE, log_stream, routing_word

_log = logging.getLogger("bus")

_MARKER = "marker"
"""The AMQP type of a message that is no record: it shows its sender where the log's end was."""


class Reader:
    """One place in one log. It is read from its beginning: only so the writers' numbers are known."""

    def __init__(
        self, instance: InstanceName, start: Offset, on_entry: Callable[[Entry], None], on_live: Action
    ) -> None:
        self.instance = instance
        self._start = start
        self._next = 0
        self._on_entry = on_entry
        self._on_live: Action | None = on_live
        self._dedup = Dedup()
        self._marker = uuid.uuid4().hex
        self._channel: Channel | None = None
        self.placed = False

    def use(self, channel: Channel, loop: Loop) -> None:
        """Read over this channel, from where the last one ended."""
        self._channel = channel
        channel.basic_qos(prefetch_count=STREAM_PREFETCH, callback=lambda _: self._declare(loop))

    def lose_channel(self) -> None:
        """The channel is gone; the next one goes on after the last entry."""
        self._channel = None
        self.placed = False

    def _declare(self, loop: Loop) -> None:
        channel = self._channel
        if channel is None:
            return
        declare_log(channel, self.instance, lambda: self._consume(channel, loop))

    def _consume(self, channel: Channel, loop: Loop) -> None:
        channel.basic_consume(
            log_stream(self.instance),
            self._on_message,
            arguments={"x-stream-offset": self._next},
            callback=lambda _: self._in_place(loop),
        )

    def _in_place(self, loop: Loop) -> None:
        self.placed = True
        self._mark_end(loop)

    def _mark_end(self, loop: Loop) -> None:
        """Put a marker behind all that is confirmed; when it comes by, this reader is live."""
        if self._on_live is None or self._channel is None:
            return
        properties = pika.BasicProperties(type=_MARKER, correlation_id=self._marker, delivery_mode=2)
        self._channel.basic_publish("", log_stream(self.instance), b"", properties)
        loop.later(MARKER_RETRY_S, lambda: self._mark_end(loop))

    def _on_message(
        self,
        channel: Channel,
        deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        offset = _offset(properties)
        tag = deliver.delivery_tag or 0
        if tag % STREAM_ACK_EVERY == 0:
            channel.basic_ack(tag, multiple=True)
        if offset < self._next:
            return  # the broker begins with the whole chunk that holds the offset
        self._next = offset + 1
        if properties.type == _MARKER:
            self._pass_marker(properties.correlation_id or "")
        else:
            self._pass_entry(offset, body)

    def _pass_marker(self, marker: str) -> None:
        if marker == self._marker and self._on_live is not None:
            on_live, self._on_live = self._on_live, None
            guarded(on_live)

    def _pass_entry(self, offset: int, body: bytes) -> None:
        try:
            envelope = ENVELOPE.validate_json(body)
        except ValidationError as error:
            _log.error("record %d of %s is passed over, it does not parse: %s", offset, self.instance, error)
            return
        if self._dedup.accepts(envelope.producer, envelope.seq) and offset >= self._start:
            entry = Entry(Offset(offset), envelope.at, envelope.record)
            guarded(lambda: self._on_entry(entry))


def _offset(properties: pika.BasicProperties) -> int:
    value = (properties.headers or {}).get("x-stream-offset")
    return value if isinstance(value, int) else 0


def declare_log(channel: Channel, instance: InstanceName, then: Action) -> None:
    """Make exchange, stream and binding of an instance, where they are not there yet."""
    stream = log_stream(instance)
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": STREAM_BYTES_MAX,
        "x-stream-max-segment-size-bytes": STREAM_SEGMENT_BYTES_MAX,
    }
    pattern = f"{routing_word(instance)}.#"
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(stream, durable=True, arguments=arguments)
    channel.queue_bind(stream, EXCHANGE, pattern, callback=lambda _: then())
