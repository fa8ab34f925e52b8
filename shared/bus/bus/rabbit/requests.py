"""Requests: queues that we serve, inboxes of our own, messages that we send, calls that we wait for."""

import uuid
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass

import pika
from pika.channel import Channel

from bus.ports import BusError, BusUnavailableError, Request
from bus.rabbit.constants import MESSAGE_TTL_MS
from bus.rabbit.loop import Loop, guarded

OnRequest = Callable[[Request], None]


@dataclass(slots=True)
class _Queue:
    """A queue that we consume from; an inbox is ours alone."""

    name: str
    on_request: OnRequest
    exclusive: bool
    placed: bool = False


class Requests:
    """All requests over one channel.

    Messages are taken without acknowledgement: one that dies with a service is repeated by its sender or
    not at all, never by the broker, so no operation is ever submitted twice behind a client's back.
    Every queue goes with its last consumer, so a message to a service that is not there comes back at once.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._channel: Channel | None = None
        self._queues: list[_Queue] = []
        self._calls: dict[str, Future[bytes]] = {}
        self._on_undeliverable: list[Callable[[str, Request], None]] = []
        self._reply_queue: str | None = None

    def use(self, channel: Channel) -> None:
        """Serve and send over this channel from now on."""
        self._channel = channel
        channel.add_on_return_callback(self._on_return)
        for queue in self._queues:
            self._consume(queue)

    def lose_channel(self) -> None:
        """The channel is gone; calls under way cannot be answered any more."""
        self._channel = None
        for queue in self._queues:
            queue.placed = False
        for correlation_id in list(self._calls):
            self._end(
                correlation_id, BusUnavailableError("the connection to the broker was lost; call again")
            )

    def placed(self) -> bool:
        """Whether every queue is consumed from."""
        return self._channel is not None and all(queue.placed for queue in self._queues)

    def serve(self, name: str, on_request: OnRequest, *, exclusive: bool) -> None:
        """Consume from a queue; on the loop's thread."""
        queue = _Queue(name, on_request, exclusive)
        self._queues.append(queue)
        if self._channel is not None:
            self._consume(queue)

    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        """Be told of messages that came back."""
        self._on_undeliverable.append(on_request)

    def send(self, queue: str, request: Request) -> None:
        """Send a message; on the loop's thread. Without a connection it is undeliverable."""
        if self._channel is None:
            self._come_back(queue, request)
            return
        properties = pika.BasicProperties(
            reply_to=request.reply_to,
            correlation_id=request.correlation_id,
            expiration=str(MESSAGE_TTL_MS),
        )
        self._channel.basic_publish("", queue, request.body, properties, mandatory=True)

    def begin_call(self, queue: str, body: bytes, answer: Future[bytes]) -> None:
        """Send a request whose answer ends the future; on the loop's thread."""
        if self._reply_queue is None:
            self._reply_queue = f"xenops.inbox.{uuid.uuid4().hex}"
            self.serve(self._reply_queue, self._on_reply, exclusive=True)
        correlation_id = uuid.uuid4().hex
        self._calls[correlation_id] = answer
        answer.add_done_callback(lambda _: self._loop.soon(lambda: self._forget(correlation_id)))
        self.send(queue, Request(body, self._reply_queue, correlation_id))

    def _forget(self, correlation_id: str) -> None:
        self._calls.pop(correlation_id, None)

    def _consume(self, queue: _Queue) -> None:
        channel = self._channel
        if channel is None:
            return

        def in_place(_: object) -> None:
            queue.placed = True

        channel.queue_declare(queue.name, exclusive=queue.exclusive, auto_delete=True)
        channel.basic_consume(
            queue.name,
            lambda _, __, properties, body: self._deliver(queue, properties, body),
            auto_ack=True,
            callback=in_place,
        )

    @staticmethod
    def _deliver(queue: _Queue, properties: pika.BasicProperties, body: bytes) -> None:
        request = Request(body, properties.reply_to, properties.correlation_id)
        guarded(lambda: queue.on_request(request))

    def _on_reply(self, reply: Request) -> None:
        self._end(reply.correlation_id or "", reply.body)

    def _on_return(
        self,
        _channel: Channel,
        method: pika.spec.Basic.Return,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        request = Request(body, properties.reply_to, properties.correlation_id)
        self._come_back(method.routing_key or "", request)

    def _come_back(self, queue: str, request: Request) -> None:
        sentence = f"nobody serves the queue {queue}: is its service running, and the instance's name right?"
        if request.correlation_id in self._calls:
            self._end(request.correlation_id, BusUnavailableError(sentence))
            return
        for handler in self._on_undeliverable:
            guarded(lambda handler=handler: handler(queue, request))  # type: ignore[misc]

    def _end(self, correlation_id: str, outcome: bytes | BusError) -> None:
        answer = self._calls.pop(correlation_id, None)
        if answer is None:
            return
        try:
            if isinstance(outcome, bytes):
                answer.set_result(outcome)
            else:
                answer.set_exception(outcome)
        except InvalidStateError:
            return  # nobody waits any more
