"""The peer: what bare pika does with the same broker, without anything of ours between."""

import multiprocessing
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.channel import Channel

ECHO_QUEUE = "bare.echo"
STREAM = "bare.log"
_REPLY_TO = "amq.rabbitmq.reply-to"


class Echo:
    """Calls a process that sends back what it gets: publish, consume, reply."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        self._answer: bytes | None = None
        channel.basic_consume(_REPLY_TO, self._on_answer, auto_ack=True)

    def call(self, body: bytes) -> bytes:
        """One round trip."""
        self._answer = None
        properties = pika.BasicProperties(reply_to=_REPLY_TO, correlation_id=uuid.uuid4().hex)
        self._channel.basic_publish("", ECHO_QUEUE, body, properties)
        while self._answer is None:
            self._channel.connection.process_data_events(time_limit=None)
        return self._answer

    def _on_answer(
        self, _channel: BlockingChannel, _deliver: object, _properties: pika.BasicProperties, body: bytes
    ) -> None:
        self._answer = body


class Asker(ABC):
    """Asks many questions at a time at one connection; it runs, as it is made, until `_close`."""

    def __init__(self, url: str) -> None:
        self._began = 0.0
        self._connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda opened: opened.channel(on_open_callback=self._open),
        )
        self._connection.add_on_close_callback(lambda *_: self._connection.ioloop.stop())
        self._connection.ioloop.start()

    @abstractmethod
    def _begin(self) -> None:
        """Ask the first questions."""

    @abstractmethod
    def _hear(self, number: str, body: bytes) -> None:
        """The answer to the question of that number."""

    def _ask(self, queue: str, body: bytes, number: str = "1") -> None:
        properties = pika.BasicProperties(reply_to=_REPLY_TO, correlation_id=number)
        self._channel.basic_publish("", queue, body, properties)

    def _taken_s(self) -> float:
        """How long it has run, in seconds."""
        return time.perf_counter() - self._began

    def _close(self) -> None:
        if self._connection.is_open:
            self._connection.close()

    def _open(self, channel: Channel) -> None:
        self._channel = channel
        channel.basic_consume(_REPLY_TO, self._on_answer, auto_ack=True, callback=lambda _: self._go())

    def _go(self) -> None:
        self._began = time.perf_counter()
        self._begin()

    def _on_answer(
        self, _channel: Channel, _deliver: object, properties: pika.BasicProperties, body: bytes
    ) -> None:
        self._hear(properties.correlation_id or "", body)


class Log:
    """Appends to a stream, one record at a time, and waits for its confirm."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        channel.queue_declare(STREAM, durable=True, arguments={"x-queue-type": "stream"})
        channel.confirm_delivery()

    def append(self, body: bytes) -> None:
        """Publish and wait."""
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value)
        self._channel.basic_publish("", STREAM, body, properties, mandatory=True)


@contextmanager
def peers(url: str) -> Iterator[tuple[Echo, Log]]:
    """Both peers; the echo is served by a process of its own, as our services are."""
    ready = multiprocessing.Event()
    server = multiprocessing.Process(target=serve_echo, args=(url, ready), daemon=True)
    server.start()
    ready.wait()
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        yield Echo(connection.channel()), Log(connection.channel())
    server.terminate()
    server.join()


def serve_echo(url: str, ready: "multiprocessing.synchronize.Event") -> None:
    """Answer everything by itself, for ever."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare(ECHO_QUEUE)

    def on_request(
        own: BlockingChannel, _deliver: object, properties: pika.BasicProperties, body: bytes
    ) -> None:
        answer = pika.BasicProperties(correlation_id=properties.correlation_id)
        own.basic_publish("", properties.reply_to or "", body, answer)

    channel.basic_consume(ECHO_QUEUE, on_request, auto_ack=True)
    ready.set()
    channel.start_consuming()
