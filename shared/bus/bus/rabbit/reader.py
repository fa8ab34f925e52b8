"""Reader: hands over a log's entries in order, each once, through all that may happen to the broker."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pika
from pika.channel import Channel
from pydantic import BaseModel, ValidationError
from schema.ids import InstanceName, Offset
from schema.records import ENVELOPE
from typing_extensions import override

from bus.dedup import Dedup
from bus.ports import Entry
from bus.rabbit.connection import Tenant
from bus.rabbit.constants import MARKER_RETRY_S, STREAM_ACK_EVERY, STREAM_PREFETCH
from bus.rabbit.loop import Action, Loop, guarded
from bus.rabbit.stream import declare_log
from bus.topology import log_stream

_log = logging.getLogger("bus")

_MARKER = "marker"
"""The AMQP type of a message that is no record: it shows its sender where the log's end was."""


class _Numbered(BaseModel):
    """What an envelope must have, whatever its record is, for its producer's next one to count."""

    producer: str
    seq: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """What somebody wants of a log: the arguments of `Bus.tail`."""

    instance: InstanceName
    start: Offset
    on_entry: Callable[[Entry], None]
    on_live: Action


class Reader(Tenant):
    """One place in one log. It is read from its beginning: only so the writers' numbers are known."""

    def __init__(self, loop: Loop, wanted: Subscription) -> None:
        super().__init__()
        self._loop = loop
        self._wanted = wanted
        self._next = 0
        self._is_live = False
        self._dedup = Dedup()
        self._marker = ""

    @override
    def settle(self, channel: Channel) -> None:
        channel.basic_qos(prefetch_count=STREAM_PREFETCH)
        declare_log(channel, self._wanted.instance, lambda: self._consume(channel))

    def _consume(self, channel: Channel) -> None:
        channel.basic_consume(
            log_stream(self._wanted.instance),
            self._on_message,
            arguments={"x-stream-offset": self._next},
            callback=lambda _: self._in_place(channel),
        )

    def _in_place(self, channel: Channel) -> None:
        self.mark_placed()
        self._marker = uuid.uuid4().hex
        self._mark_end(channel)

    def _mark_end(self, channel: Channel) -> None:
        """Put a marker behind all that is confirmed; when it comes by, this reader is live."""
        if not self._marker or channel is not self._channel or not channel.is_open:
            return
        properties = pika.BasicProperties(type=_MARKER, correlation_id=self._marker)
        channel.basic_publish("", log_stream(self._wanted.instance), b"", properties)
        self._loop.later(MARKER_RETRY_S, lambda: self._mark_end(channel))

    def _on_message(
        self,
        channel: Channel,
        deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        offset = _offset(properties)
        tag = deliver.delivery_tag or 0
        if tag % STREAM_ACK_EVERY == 0 and channel.is_open:
            channel.basic_ack(tag, multiple=True)
        if properties.type == _MARKER and properties.correlation_id == self._marker:
            self._pass_marker(offset)
        if offset < self._next:
            return  # the broker begins with the whole chunk that holds the offset
        if self._next == 0 and offset > 0:
            self._dedup = Dedup(truncated=True)
        self._next = offset + 1
        if properties.type != _MARKER:
            self._pass_entry(Offset(offset), body)

    def _pass_marker(self, offset: int) -> None:
        self._marker = ""
        if offset < self._next:
            _log.critical(
                "the broker has lost the end of the log %s: it goes on at %d, we had read up to %d; "
                "what this service knows may not be true: restart all services of this instance",
                *(self._wanted.instance, offset, self._next - 1),
            )
        if not self._is_live:
            self._is_live = True
            guarded(self._wanted.on_live)

    def _pass_entry(self, offset: Offset, body: bytes) -> None:
        try:
            envelope = ENVELOPE.validate_json(body)
        except ValidationError as error:
            self._pass_over(offset, body, error)
            return
        if self._dedup.accepts(envelope.producer, envelope.seq) and offset >= self._wanted.start:
            entry = Entry(offset, envelope.at, envelope.record)
            guarded(lambda: self._wanted.on_entry(entry))

    def _pass_over(self, offset: Offset, body: bytes, error: ValidationError) -> None:
        """A record that this version cannot read, a newer writer's or nobody's: the next ones count."""
        stream = log_stream(self._wanted.instance)
        _log.error("record %d of %s is passed over, it does not parse: %s", offset, stream, error)
        try:
            numbered = _Numbered.model_validate_json(body)
        except ValidationError:
            return
        self._dedup.accepts(numbered.producer, numbered.seq)


def _offset(properties: pika.BasicProperties) -> int:
    value = (properties.headers or {}).get("x-stream-offset")
    return value if isinstance(value, int) else 0
