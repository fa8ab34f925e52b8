"""Requests: queues that we serve, messages that we send, calls that we wait for."""

import uuid
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

import pika
from pika.channel import Channel
from typing_extensions import override

from bus.ports import BusError, BusUnavailableError, Request
from bus.rabbit.connection import Tenant
from bus.rabbit.constants import MESSAGE_TTL_MS, QUEUE_UNUSED_MS
from bus.rabbit.loop import Loop, guarded

_REPLY_TO = "amq.rabbitmq.reply-to"
"""RabbitMQ's queue that is none: an answer sent to it goes straight to the channel that asked."""


class ServedQueue(Tenant):
    """A queue that we take requests from; an inbox is ours alone.

    Messages are taken without acknowledgement: one that dies with a service is repeated by its sender or
    not at all, never by the broker, so no operation is ever submitted twice behind a client's back.
    The queue goes with its last server, so a message to a service that is not there comes back at once.
    A shared one is durable only because later RabbitMQs refuse shared queues that are not.
    """

    def __init__(self, name: str, on_request: Callable[[Request], None], *, exclusive: bool) -> None:
        super().__init__()
        self._name = name
        self._on_request = on_request
        self._exclusive = exclusive

    @override
    def settle(self, channel: Channel) -> None:
        arguments = {} if self._exclusive else {"x-expires": QUEUE_UNUSED_MS}
        channel.queue_declare(
            self._name,
            durable=not self._exclusive,
            exclusive=self._exclusive,
            auto_delete=True,
            arguments=arguments,
        )
        channel.basic_consume(
            self._name, self._on_message, auto_ack=True, callback=lambda _: self.mark_placed()
        )

    def _on_message(
        self,
        _channel: Channel,
        _deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        request = Request(body, properties.reply_to, properties.correlation_id)
        guarded(lambda: self._on_request(request))


class Post(Tenant):
    """Sends messages; those that reach no queue come back."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._calls: dict[str, Future[bytes]] = {}
        self._on_undeliverable: list[Callable[[str, Request], None]] = []

    @override
    def settle(self, channel: Channel) -> None:
        channel.add_on_return_callback(self._on_return)
        channel.basic_consume(_REPLY_TO, self._on_reply, auto_ack=True, callback=lambda _: self.mark_placed())

    @override
    def move_out(self) -> None:
        super().move_out()
        for correlation_id in list(self._calls):
            self._end(
                correlation_id, BusUnavailableError("the connection to the broker was lost; call again")
            )

    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        """Be told of messages that came back."""
        self._on_undeliverable.append(on_request)

    def send(self, queue: str, request: Request) -> None:
        """Send a message; on the loop's thread. Without a connection it is undeliverable."""
        if self._channel is None or not self._channel.is_open:
            self._come_back(queue, request, "there is no connection to the broker")
            return
        properties = pika.BasicProperties(
            reply_to=request.reply_to,
            correlation_id=request.correlation_id,
            expiration=str(MESSAGE_TTL_MS),
        )
        must_return = not queue.startswith(_REPLY_TO)  # RabbitMQ calls these unroutable though they arrive
        self._channel.basic_publish("", queue, request.body, properties, mandatory=must_return)

    def begin_call(self, queue: str, body: bytes, answer: Future[bytes]) -> None:
        """Send a request whose answer ends the future; on the loop's thread."""
        correlation_id = uuid.uuid4().hex
        self._calls[correlation_id] = answer
        answer.add_done_callback(lambda _: self._loop.soon(lambda: self._forget(correlation_id)))
        self.send(queue, Request(body, _REPLY_TO, correlation_id))

    def _forget(self, correlation_id: str) -> None:
        self._calls.pop(correlation_id, None)

    def _on_reply(
        self,
        _channel: Channel,
        _deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self._end(properties.correlation_id or "", body)

    def _on_return(
        self,
        _channel: Channel,
        method: pika.spec.Basic.Return,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        queue = method.routing_key or ""
        reason = f"nobody serves the queue {queue}: is its service running, and the instance's name right?"
        self._come_back(queue, Request(body, properties.reply_to, properties.correlation_id), reason)

    def _come_back(self, queue: str, request: Request, reason: str) -> None:
        if request.correlation_id in self._calls:
            self._end(request.correlation_id, BusUnavailableError(reason))
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
