"""Snapshot store: where a service's snapshots are on RabbitMQ: a stream that keeps the last ones.

Every call has a connection of its own and waits for the broker, so it is made on a thread that may wait.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.connection import Parameters
from pika.exceptions import AMQPError
from schema.ids import InstanceName
from typing_extensions import override

from bus.follow import SnapshotStore
from bus.place import Place, anchor_of
from bus.rabbit.constants import SNAPSHOT_SEGMENT_BYTES_MAX, SNAPSHOTS_BYTES_MAX
from bus.snapshots import Assembly, SnapshotError
from bus.topology import EXCHANGE, log_stream, snapshot_key, snapshot_stream

FIRST_LOOK = 64
"""Messages that are read at first, from the end: some small snapshots."""

READ_TIMEOUT_S = 30.0
"""How long a broker may be silent while it is read from."""

ATTEMPTS = 20
ATTEMPT_PAUSE_S = 0.5
"""A broker that has just started has not got all its streams at once."""

_MARKER = "marker"

Message = tuple[int, str, str, pika.BasicProperties, bytes]
"""Its offset, exchange, routing key, properties and body."""


class RabbitSnapshotStore(SnapshotStore):
    """The snapshots of one service of one instance; `nodes` are tried in their order."""

    def __init__(
        self, nodes: Callable[[], Sequence[Parameters]], instance: InstanceName, service: str
    ) -> None:
        self._nodes = nodes
        self._log = log_stream(instance)
        self._stream = snapshot_stream(instance, service)
        self._key = snapshot_key(instance, service)

    @override
    def put(self, pieces: Iterator[bytes]) -> int:
        size = 0
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value)
        try:
            with self._channel() as channel:
                self._declare(channel)
                for piece in pieces:
                    channel.basic_publish(EXCHANGE, self._key, piece, properties, mandatory=True)
                    size += len(piece)
        except (AMQPError, OSError) as error:
            raise SnapshotError(f"the broker did not take it ({error!r})") from error
        return size

    @override
    def newest_first(self) -> Iterator[bytes]:
        found = list(self._insisted(self._read))
        yield from reversed(found)

    @override
    def holds(self, place: Place) -> bool:
        return place.next == 0 or self._insisted(lambda channel: self._holds(channel, place))

    @override
    def first(self) -> int:
        return int(self._insisted(lambda channel: next(_read(channel, self._log, "first", whole=True))[0]))

    def _holds(self, channel: BlockingChannel, place: Place) -> bool:
        before = place.next - 1
        end = max(offset for offset, *_ in _read(channel, self._log, "last", whole=True))
        if end <= before:
            return False  # asked for what is not there yet, the broker would wait until it is
        for offset, _, _, properties, body in _read(channel, self._log, before):
            if offset >= before:
                return offset == before and anchor_of(body, properties.correlation_id) == place.anchor
        return False

    def _read(self, channel: BlockingChannel) -> list[bytes]:
        """The whole snapshots in the last part of the stream that has one."""
        self._declare(channel)
        end = next((offset for offset, *_ in _read(channel, self._stream, "next", whole=True)), 0)
        begin = max(0, end - FIRST_LOOK)
        while True:
            assembly = Assembly()
            found = []
            for _, exchange, key, _, body in _read(channel, self._stream, begin):
                whole = assembly.add(body) if (exchange, key) == (EXCHANGE, self._key) else None
                if whole is not None:
                    found.append(whole)
            if found or begin == 0:
                return found
            begin = max(0, min(begin - FIRST_LOOK, end - 2 * assembly.longest - FIRST_LOOK))

    def _declare(self, channel: BlockingChannel) -> None:
        arguments = {
            "x-queue-type": "stream",
            "x-max-length-bytes": SNAPSHOTS_BYTES_MAX,
            "x-stream-max-segment-size-bytes": SNAPSHOT_SEGMENT_BYTES_MAX,
        }
        channel.queue_declare(self._stream, durable=True, arguments=arguments)
        channel.queue_bind(self._stream, EXCHANGE, self._key)

    def _insisted(self, action: Callable[[BlockingChannel], Any]) -> Any:
        """What an action answers; a broker that is not up yet is tried again."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._channel() as channel:
                    return action(channel)
            except (AMQPError, OSError) as error:
                if attempt == ATTEMPTS:
                    raise SnapshotError(f"the broker does not tell what it has ({error!r})") from error
                time.sleep(ATTEMPT_PAUSE_S)
        raise AssertionError

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        connection = pika.BlockingConnection(list(self._nodes()))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            with suppress(AMQPError):  # pika gives back what was delivered, and streams take nothing back
                connection.close()


def _read(
    channel: BlockingChannel, stream: str, start: int | str, *, whole: bool = False
) -> Iterator[Message]:
    """What stands in a stream from `start` on to its present end; with `whole`, the end's mark as well."""
    connection = channel.connection
    reading = connection.channel()
    reading.basic_qos(prefetch_count=FIRST_LOOK)
    messages: list[Message] = []

    def take(taken: BlockingChannel, deliver: Any, properties: pika.BasicProperties, body: bytes) -> None:
        taken.basic_ack(deliver.delivery_tag)
        offset = (properties.headers or {}).get("x-stream-offset")
        messages.append(
            (
                offset if isinstance(offset, int) else 0,
                deliver.exchange,
                deliver.routing_key,
                properties,
                body,
            )
        )

    reading.basic_consume(stream, take, arguments={"x-stream-offset": start})
    mark = uuid.uuid4().hex
    channel.basic_publish("", stream, b"", pika.BasicProperties(type=_MARKER, correlation_id=mark))
    while True:
        silent_at = time.monotonic() + READ_TIMEOUT_S
        while not messages:  # pika comes back early, with nothing
            if time.monotonic() >= silent_at:
                raise OSError(f"{stream} is silent for {READ_TIMEOUT_S:g} s")
            connection.process_data_events(max(0.0, silent_at - time.monotonic()))
        arrived, messages[:] = list(messages), []
        for message in arrived:
            is_end = message[3].type == _MARKER and message[3].correlation_id == mark
            if whole or not is_end:
                yield message
            if is_end:
                return
