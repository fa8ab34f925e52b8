"""Requests: queues that we serve, messages that we send, calls that we wait for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pika
from pika.channel import Channel
from schema.debug_info import trace_of
from typing_extensions import override

from bus.calls import Calls
from bus.logs import Concern, about
from bus.loop import Loop, guarded
from bus.ports import LostError, NoConnectionError, OnAnswer, Request, UndeliveredError
from bus.rabbit.connection import ChannelOwner
from bus.rabbit.constants import MESSAGE_TTL_MS, QUEUE_UNUSED_MS
from bus.topology import DIRECT_REPLIES

_TRANSIENT_REFUSED = (4, 3)
"""The version of RabbitMQ that denies `transient_nonexcl_queues` unless told otherwise."""

_TRACEPARENT = "traceparent"
"""The header of a message that names the span which sent it, as OpenTelemetry's propagators call it."""


class ServedQueue(ChannelOwner):
    """A queue that we take requests from; an inbox is ours alone.

    Messages are taken without acknowledgement: one that dies with a service is repeated by its sender or
    not at all, never by the broker, so no operation is ever submitted twice behind a client's back.
    The queue goes with its last server, so a message to a service that is not there comes back at once.
    It is not durable where the broker allows that, for a durable one whose node of a cluster is down can be
    neither served nor made anew. It is on one node, its first server's: when that is gone, those at other
    nodes are told that they serve no more, and each makes it anew.
    """

    def __init__(self, name: str, on_request: Callable[[Request], None], *, exclusive: bool) -> None:
        super().__init__()
        self._name = name
        self._on_request = on_request
        self._exclusive = exclusive

    @override
    def set_up(self, channel: Channel) -> None:
        channel.add_on_cancel_callback(lambda _: channel.close())  # the queue is gone
        arguments = {} if self._exclusive else {"x-expires": QUEUE_UNUSED_MS}
        channel.queue_declare(
            self._name,
            durable=not self._exclusive and _wants_durable(channel),
            exclusive=self._exclusive,
            auto_delete=True,
            arguments=arguments,
        )
        channel.basic_consume(
            self._name, self._on_message, auto_ack=True, callback=lambda _: self.mark_ready()
        )

    def _on_message(
        self,
        _channel: Channel,
        _deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        guarded(lambda: self._pass(_request(properties, body)))

    def _pass(self, request: Request) -> None:
        with about(lambda: Concern(trace=trace_of(request.traceparent))):
            guarded(lambda: self._on_request(request))


class Post(ChannelOwner):
    """Sends messages; those that reach no queue come back."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._calls = Calls(loop)
        self._on_undeliverable: list[Callable[[str, Request], None]] = []

    @override
    def set_up(self, channel: Channel) -> None:
        channel.add_on_return_callback(self._on_return)
        channel.basic_consume(
            DIRECT_REPLIES, self._on_reply, auto_ack=True, callback=lambda _: self.mark_ready()
        )

    @override
    def lose_channel(self) -> None:
        super().lose_channel()
        self._calls.fail_all(LostError("the connection to the broker was lost; call again"))

    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        """Be told of messages that came back."""
        self._on_undeliverable.append(on_request)

    def send(self, queue: str, request: Request) -> None:
        """Send a message; on the loop's thread. Without a connection it is undeliverable."""
        if self._channel is None or not self._channel.is_open:
            self._come_back(queue, request, NoConnectionError("there is no connection to the broker"))
            return
        properties = pika.BasicProperties(
            reply_to=_octets(request.reply_to),
            correlation_id=_octets(request.correlation_id),
            expiration=str(MESSAGE_TTL_MS),
            headers=None if request.traceparent is None else {_TRACEPARENT: request.traceparent},
        )
        must_return = not queue.startswith(
            DIRECT_REPLIES
        )  # RabbitMQ calls these unroutable though they arrive
        self._channel.basic_publish("", _octets(queue), request.body, properties, mandatory=must_return)

    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        """Send a request whose answer is handed over; on the loop's thread."""
        correlation_id = self._calls.begin(queue, timeout_s, on_answer)
        self.send(queue, replace(question, reply_to=DIRECT_REPLIES, correlation_id=correlation_id))

    def _on_reply(
        self,
        _channel: Channel,
        _deliver: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self._calls.end(properties.correlation_id, body)

    def _on_return(
        self,
        _channel: Channel,
        method: pika.spec.Basic.Return,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        queue = _text(method.routing_key) or ""
        reason = f"nobody serves the queue {queue}: is its service running, and the instance's name right?"
        self._come_back(queue, _request(properties, body), UndeliveredError(reason))

    def _come_back(self, queue: str, request: Request, error: UndeliveredError) -> None:
        if self._calls.end(request.correlation_id, error):
            return
        for handler in self._on_undeliverable:
            guarded(lambda handler=handler: handler(queue, request))  # type: ignore[misc]


def _wants_durable(channel: Channel) -> bool:
    """Whether the broker refuses shared queues that are not durable: RabbitMQ does from 4.3 on."""
    version = _text((channel.connection.server_properties or {}).get("version")) or ""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= _TRANSIENT_REFUSED


def _request(properties: pika.BasicProperties, body: bytes) -> Request:
    """A message as it came."""
    traceparent = properties.headers.get(_TRACEPARENT) if properties.headers else None
    return Request(
        body,
        _text(properties.reply_to),
        _text(properties.correlation_id),
        traceparent if isinstance(traceparent, str) else None,
    )


def _text(name: str | bytes | None) -> str | None:
    """A name as text. pika hands over bytes where a client's name is not UTF-8; they are kept."""
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


def _octets(name: str | None) -> Any:
    """The name as it came; pika takes bytes, which its types do not say."""
    return None if name is None else name.encode("utf-8", "surrogateescape")
