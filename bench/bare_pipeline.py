"""The peer of VM.start: as many processes and hops in bare pika, with null operations and the least of JSON.

Front door, leader, worker and hub over one stream, as our services are; the client waits for news, then asks
for the task. Nothing here survives a fault, checks a type or keeps a promise: it is the floor, no competitor.
"""

import json
import multiprocessing
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any

import pika
from bare import Asker
from pika.channel import Channel
from typing_extensions import override

STREAM = "bare.pipeline"
DOOR, HUB = "bare.door", "bare.hub"
ACK_EVERY = 64
PREFETCH = 2_000

Json = dict[str, Any]


class Stage:
    """One process: reads the stream, serves a queue, or both."""

    queue: str | None = None
    tails = False

    def __init__(self, url: str, ready: Event) -> None:
        self._ready = ready
        self._connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda opened: opened.channel(on_open_callback=self._begin),
        )

    def run(self) -> None:
        """Serve, for ever."""
        self._connection.ioloop.start()

    def on_record(self, offset: int, record: Json) -> None:
        """An entry of the stream."""

    def on_request(self, request: Json, properties: pika.BasicProperties) -> None:
        """A message to the queue."""

    def append(self, **record: object) -> None:
        """Put an entry into the stream."""
        self._channel.basic_publish("", STREAM, json.dumps(record).encode())

    def send(self, queue: str, message: Json, reply_to: str | None, correlation_id: str | None) -> None:
        """Send a message on."""
        properties = pika.BasicProperties(reply_to=reply_to, correlation_id=correlation_id)
        self._channel.basic_publish("", queue, json.dumps(message).encode(), properties)

    def _begin(self, channel: Channel) -> None:
        self._channel = channel
        channel.queue_declare(STREAM, durable=True, arguments={"x-queue-type": "stream"})
        if self.queue is not None:
            channel.queue_declare(self.queue)
            channel.basic_consume(self.queue, self._on_request, auto_ack=True)
        channel.basic_qos(prefetch_count=PREFETCH, callback=lambda _: self._tail(channel))

    def _tail(self, channel: Channel) -> None:
        if self.tails:
            start = {"x-stream-offset": "next"}
            channel.basic_consume(
                STREAM, self._on_record, arguments=start, callback=lambda _: self._ready.set()
            )
        else:
            self._ready.set()

    def _on_request(
        self, _channel: Channel, _deliver: object, properties: pika.BasicProperties, body: bytes
    ) -> None:
        self.on_request(json.loads(body), properties)

    def _on_record(
        self,
        channel: Channel,
        deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        if (deliver.delivery_tag or 0) % ACK_EVERY == 0:
            channel.basic_ack(deliver.delivery_tag or 0, multiple=True)
        offset = (properties.headers or {})["x-stream-offset"]
        assert isinstance(offset, int)
        self.on_record(offset, json.loads(body))


class Door(Stage):
    """Appends what is asked for; hands questions on."""

    queue = DOOR

    @override
    def on_request(self, request: Json, properties: pika.BasicProperties) -> None:
        if "vm" in request:
            self.append(kind="Submitted", reply=(properties.reply_to, properties.correlation_id), **request)
        else:
            self.send(HUB, request, properties.reply_to, properties.correlation_id)


class Leader(Stage):
    """Accepts every task at once and leases it."""

    tails = True

    @override
    def on_record(self, offset: int, record: Json) -> None:
        if record["kind"] == "Submitted":
            reply_to, correlation_id = record["reply"]
            self.send(reply_to, {"task": offset}, None, correlation_id)
            self.append(kind="Leased", vm=record["vm"], task=offset)


class Worker(Stage):
    """Does nothing, and says so as ours does: begun, ended."""

    tails = True

    @override
    def on_record(self, offset: int, record: Json) -> None:
        if record["kind"] == "Leased":
            self.append(kind="Started", vm=record["vm"], task=record["task"])
            self.append(kind="Finished", vm=record["vm"], task=record["task"])


class Hub(Stage):
    """Wakes everybody who waits whenever a task has ended."""

    queue = HUB
    tails = True

    def __init__(self, url: str, ready: Event) -> None:
        super().__init__(url, ready)
        self._ended: list[tuple[int, int]] = []
        self._waiting: list[tuple[int, pika.BasicProperties]] = []

    @override
    def on_record(self, offset: int, record: Json) -> None:
        if record["kind"] == "Finished":
            self._ended.append((offset, record["task"]))
            waiting, self._waiting = self._waiting, []
            for token, properties in waiting:
                self._tell(token, properties)

    @override
    def on_request(self, request: Json, properties: pika.BasicProperties) -> None:
        if "task" in request:
            done = any(task == request["task"] for _, task in reversed(self._ended))
            self.send(properties.reply_to or "", {"done": done}, None, properties.correlation_id)
        elif self._ended and self._ended[-1][0] >= request["token"]:
            self._tell(request["token"], properties)
        else:
            self._waiting.append((request["token"], properties))

    def _tell(self, token: int, properties: pika.BasicProperties) -> None:
        ended = self._ended
        news = [task for _, task in ended[bisect_left(ended, (token, 0)) :]]
        answer = {"tasks": news, "token": ended[-1][0] + 1}
        self.send(properties.reply_to or "", answer, None, properties.correlation_id)


class Starter(Asker):
    """The client: so many starts at a time, each of which waits for itself."""

    def __init__(self, url: str, total: int, width: int) -> None:
        self.times_s: list[float] = []
        self.seconds = 0.0
        self._total, self._width = total, width
        self._begun = 0
        self._pending: dict[str, Callable[[Json], None]] = {}
        self._calls = 0
        super().__init__(url)

    @override
    def _begin(self) -> None:
        for _ in range(self._width):
            self._start()

    def _start(self) -> None:
        if self._begun < self._total:
            self._begun += 1
            begun = time.perf_counter()
            self._call(
                {"vm": f"vm-{self._begun}"}, lambda answer: self._wait(answer["task"], answer["task"], begun)
            )

    def _wait(self, task: int, token: int, begun: float) -> None:
        def on_news(news: Json) -> None:
            if task in news["tasks"]:
                self._call({"task": task}, lambda _: self._end(begun))
            else:
                self._wait(task, news["token"], begun)

        self._call({"token": token}, on_news)

    def _end(self, begun: float) -> None:
        self.times_s.append(time.perf_counter() - begun)
        if len(self.times_s) == self._total:
            self.seconds = self._taken_s()
            self._close()
        else:
            self._start()

    def _call(self, request: Json, then: Callable[[Json], None]) -> None:
        self._calls += 1
        number = str(self._calls)
        self._pending[number] = then
        self._ask(DOOR, json.dumps(request).encode(), number)

    @override
    def _hear(self, number: str, body: bytes) -> None:
        self._pending.pop(number)(json.loads(body))


def serve(stage: type[Stage], url: str, ready: Event) -> None:
    """The whole life of a process."""
    stage(url, ready).run()


@contextmanager
def pipeline(url: str) -> Iterator[None]:
    """All four run within."""
    servers = []
    for stage in (Leader, Worker, Hub, Door):
        ready = multiprocessing.Event()
        servers.append(multiprocessing.Process(target=serve, args=(stage, url, ready), daemon=True))
        servers[-1].start()
        ready.wait()
    yield
    for server in servers:
        server.terminate()
        server.join()
