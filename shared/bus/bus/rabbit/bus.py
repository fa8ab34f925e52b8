"""RabbitBus: one service's connection to a RabbitMQ broker, made again whenever it is lost."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from schema.ids import InstanceName, Offset
from schema.records import Record
from typing_extensions import override

from bus.ports import Bus, BusUnavailableError, Entry, Request, RequestTimeoutError
from bus.rabbit.constants import BLOCKED_TIMEOUT_S, CLOSE_TIMEOUT_S, HEARTBEAT_S
from bus.rabbit.leader import Candidate
from bus.rabbit.loop import Action, Backoff, Loop
from bus.rabbit.publisher import Publisher
from bus.rabbit.reader import Reader, declare_log
from bus.rabbit.requests import Requests

_log = logging.getLogger("bus")

_DEADLINE_CHECK_S = 1.0
_READY_POLL_S = 0.005


class RabbitBus(Bus):
    """The contract of `bus.ports.Bus` on RabbitMQ 3.10 and later.

    `url` is `amqp://user:password@host:port/vhost`. `instances` are those whose logs this service writes:
    their streams are made before anything is sent. The constructor returns at once; see `ready`.
    """

    def __init__(self, url: str, name: str = "xenops", instances: tuple[InstanceName, ...] = ()) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.heartbeat = HEARTBEAT_S
        self._parameters.blocked_connection_timeout = BLOCKED_TIMEOUT_S
        self._parameters.client_properties = {"connection_name": name}
        self._address = f"{self._parameters.host}:{self._parameters.port}"
        self._instances = set(instances)
        self._loop = Loop(f"bus-{name}")
        self._publisher = Publisher(self._loop, name)
        self._requests = Requests(self._loop)
        self._readers: list[Reader] = []
        self._candidates: list[Candidate] = []
        self._connection: SelectConnection | None = None
        self._backoff = Backoff()
        self._trouble = "not tried yet"
        self._publishing = False
        self._closing = False
        self._loop.soon(self._connect)
        self._loop.soon(lambda: self._loop.every(_DEADLINE_CHECK_S, self._publisher.check_deadline))
        self._loop.start()

    # --- the port -----------------------------------------------------------------------------------

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        if instance not in self._instances:
            self._loop.soon(lambda: self._add_instance(instance))
        return self._publisher.append(instance, records)

    @override
    def tail(
        self,
        instance: InstanceName,
        start: Offset,
        on_entry: Callable[[Entry], None],
        on_live: Action,
    ) -> None:
        reader = Reader(instance, start, on_entry, on_live)
        self._loop.soon(lambda: self._add_reader(reader))

    @override
    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        self._loop.soon(lambda: self._requests.serve(queue, on_request, exclusive=False))

    @override
    def inbox(self, on_message: Callable[[Request], None]) -> str:
        name = f"xenops.inbox.{uuid.uuid4().hex}"
        self._loop.soon(lambda: self._requests.serve(name, on_message, exclusive=True))
        return name

    @override
    def lead(self, queue: str, on_change: Callable[[bool], None]) -> None:
        candidate = Candidate(queue, on_change, self._loop)
        self._loop.soon(lambda: self._add_candidate(candidate))

    @override
    def send(self, queue: str, request: Request) -> None:
        if threading.current_thread() is self._loop.thread:
            self._requests.send(queue, request)
        else:
            self._loop.soon(lambda: self._requests.send(queue, request))

    @override
    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        self._requests.undeliverable(on_request)

    @override
    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        answer: Future[bytes] = Future()
        self._loop.soon(lambda: self._requests.begin_call(queue, body, answer))
        try:
            return answer.result(timeout_s)
        except FutureTimeoutError:
            answer.cancel()
            sentence = f"no answer from the queue {queue} at {self._address} within {timeout_s:g} s"
            raise RequestTimeoutError(sentence) from None

    @override
    def every(self, interval_s: float, action: Action) -> None:
        self._loop.soon(lambda: self._loop.every(interval_s, action))

    @override
    def call_soon(self, action: Action) -> None:
        self._loop.soon(action)

    @override
    def ready(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not self._in_place():
            if time.monotonic() > end:
                raise BusUnavailableError(
                    f"no broker at {self._address} within {timeout_s:g} s ({self._trouble}): "
                    "is RabbitMQ running there, and are user, password and virtual host right?"
                )
            time.sleep(_READY_POLL_S)

    @override
    def close(self) -> None:
        if self._closing:
            return
        end = time.monotonic() + CLOSE_TIMEOUT_S
        while self._publisher.unconfirmed() and self._publishing and time.monotonic() < end:
            time.sleep(_READY_POLL_S)
        self._closing = True
        self._loop.soon(self._disconnect)
        if threading.current_thread() is not self._loop.thread:
            self._loop.thread.join(CLOSE_TIMEOUT_S)
        self._publisher.abandon(BusUnavailableError("the bus was closed before the broker had confirmed"))

    # --- the connection -----------------------------------------------------------------------------

    def _in_place(self) -> bool:
        settled = threading.Event()
        self._loop.soon(settled.set)
        settled.wait(1.0)
        readers = all(reader.placed for reader in self._readers)
        return self._publishing and self._requests.placed() and readers

    def _connect(self) -> None:
        if self._closing:
            return
        self._connection = SelectConnection(
            self._parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
            custom_ioloop=self._loop.ioloop,
        )

    def _disconnect(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._loop.stop()

    def _on_open(self, connection: SelectConnection) -> None:
        self._backoff.reset()
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._channel(self._requests.use, self._requests.lose_channel)
        self._open_publisher()
        for reader in self._readers:
            self._open_reader(reader)
        for candidate in self._candidates:
            self._open_candidate(candidate)

    def _on_lost(self, _connection: object, error: BaseException | str) -> None:
        self._trouble = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error
        self._connection = None
        self._publishing = False
        self._publisher.blocked = None
        self._publisher.lose_channel()
        self._requests.lose_channel()
        for reader in self._readers:
            reader.lose_channel()
        for candidate in self._candidates:
            candidate.lose_channel(connected=False)
        if self._closing:
            self._loop.stop()
            return
        delay_s = self._backoff.delay_s()
        _log.warning(
            "no connection to the broker at %s (%s); again in %.1f s", self._address, self._trouble, delay_s
        )
        self._loop.later(delay_s, self._connect)

    def _on_blocked(
        self, _connection: object, frame: pika.frame.Method[pika.spec.Connection.Blocked]
    ) -> None:
        self._publisher.blocked = frame.method.reason or "an alarm"
        _log.warning("the broker at %s blocks publishers: %s", self._address, self._publisher.blocked)

    def _on_unblocked(self, _connection: object, _frame: object) -> None:
        self._publisher.blocked = None

    # --- channels -----------------------------------------------------------------------------------

    def _channel(self, use: Callable[[Channel], None], lose: Action) -> None:
        """Open a channel for somebody; tell them when it is there and when it is gone."""
        if self._connection is None or not self._connection.is_open:
            return

        def opened(channel: Channel) -> None:
            channel.add_on_close_callback(lambda _, reason: self._on_channel_closed(reason, lose))
            use(channel)

        self._connection.channel(on_open_callback=opened)

    def _on_channel_closed(self, reason: BaseException, lose: Action) -> None:
        self._trouble = str(reason)
        if self._connection is not None and self._connection.is_open:
            lose()

    def _again(self, action: Action) -> None:
        """A channel was closed by the broker, which is not ready yet: back off, try again."""
        self._loop.later(self._backoff.delay_s(), action)

    def _open_publisher(self) -> None:
        def use(channel: Channel) -> None:
            waiting = list(self._instances)

            def declared() -> None:
                waiting.pop()
                if not waiting:
                    in_place()

            def in_place() -> None:
                self._publisher.use(channel)
                self._publishing = True

            for instance in self._instances:
                declare_log(channel, instance, declared)
            if not waiting:
                in_place()

        def lose() -> None:
            self._publishing = False
            self._publisher.lose_channel()
            self._again(self._open_publisher)

        self._channel(use, lose)

    def _add_instance(self, instance: InstanceName) -> None:
        if instance not in self._instances:
            self._instances.add(instance)
            self._channel(lambda channel: declare_log(channel, instance, channel.close), lambda: None)

    def _add_reader(self, reader: Reader) -> None:
        self._readers.append(reader)
        self._open_reader(reader)

    def _open_reader(self, reader: Reader) -> None:
        def lose() -> None:
            reader.lose_channel()
            self._again(lambda: self._open_reader(reader))

        self._channel(lambda channel: reader.use(channel, self._loop), lose)

    def _add_candidate(self, candidate: Candidate) -> None:
        self._candidates.append(candidate)
        self._open_candidate(candidate)

    def _open_candidate(self, candidate: Candidate) -> None:
        self._channel(
            lambda channel: candidate.use(channel, lambda: self._open_candidate(candidate)),
            lambda: candidate.lose_channel(connected=True),
        )
