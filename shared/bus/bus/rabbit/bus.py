"""RabbitBus: one service's connection to a RabbitMQ broker, made again whenever it is lost."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from schema.ids import InstanceName, Offset
from schema.records import Record
from typing_extensions import override

from bus.ports import Bus, BusUnavailableError, Entry, Request, RequestTimeoutError
from bus.rabbit.connection import Connection
from bus.rabbit.constants import CLOSE_TIMEOUT_S, READY_POLL_S
from bus.rabbit.leader import Candidate
from bus.rabbit.loop import Action, Loop
from bus.rabbit.publisher import Publisher
from bus.rabbit.reader import Reader, Subscription
from bus.rabbit.requests import Post, ServedQueue


class RabbitBus(Bus):
    """The contract of `bus.ports.Bus` on RabbitMQ 3.10 and later.

    `url` is `amqp://user:password@host:port/vhost`. `instances` are those whose logs this service writes:
    their streams are made before anything is sent. The constructor returns at once; see `ready`. A handler
    that runs for more than some seconds lets the broker think us dead.

    Raises:
        BusUnavailableError: `url` makes no sense.
    """

    def __init__(self, url: str, name: str = "xenops", instances: tuple[InstanceName, ...] = ()) -> None:
        self._loop = Loop(f"bus-{name}")
        self._connection = Connection(url, name, self._loop)
        self._publisher = Publisher(self._loop, name, instances)
        self._post = Post(self._loop)
        self._closing = threading.Event()
        self._connection.add(self._post)
        self._connection.add(self._publisher)
        self._loop.soon(self._connection.open)
        self._loop.start()

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        return self._publisher.append(instance, records)

    @override
    def tail(
        self,
        instance: InstanceName,
        start: Offset,
        on_entry: Callable[[Entry], None],
        on_live: Action,
    ) -> None:
        reader = Reader(self._loop, Subscription(instance, start, on_entry, on_live))
        self._loop.soon(lambda: self._connection.add(reader))

    @override
    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        served = ServedQueue(queue, on_request, exclusive=False)
        self._loop.soon(lambda: self._connection.add(served))

    @override
    def inbox(self, on_message: Callable[[Request], None]) -> str:
        name = f"xenops.inbox.{uuid.uuid4().hex}"
        inbox = ServedQueue(name, on_message, exclusive=True)
        self._loop.soon(lambda: self._connection.add(inbox))
        return name

    @override
    def lead(self, queue: str, on_change: Callable[[bool], None]) -> None:
        candidate = Candidate(queue, on_change, self._loop)
        self._loop.soon(lambda: self._connection.add(candidate))

    @override
    def send(self, queue: str, request: Request) -> None:
        if self._loop.is_here():
            self._post.send(queue, request)
        else:
            self._loop.soon(lambda: self._post.send(queue, request))

    @override
    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        self._post.undeliverable(on_request)

    @override
    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        self._refuse_here("call")
        if self._closing.is_set():
            raise BusUnavailableError(f"call to the queue {queue} on a bus that is closed")
        answer: Future[bytes] = Future()
        self._loop.soon(lambda: self._post.begin_call(queue, body, answer))
        try:
            return answer.result(timeout_s)
        except FutureTimeoutError:
            answer.cancel()
            where = f"the queue {queue} at {self._connection.address}"
            raise RequestTimeoutError(f"no answer from {where} within {timeout_s:g} s") from None

    @override
    def every(self, interval_s: float, action: Action) -> None:
        self._loop.soon(lambda: self._loop.every(interval_s, action))

    @override
    def call_soon(self, action: Action) -> None:
        self._loop.soon(action)

    @override
    def ready(self, timeout_s: float) -> None:
        self._refuse_here("ready")
        end = time.monotonic() + timeout_s
        while not self._is_settled(end):
            if time.monotonic() > end or self._closing.is_set():
                raise BusUnavailableError(
                    f"no broker at {self._connection.address} within {timeout_s:g} s "
                    f"({self._connection.trouble}): is RabbitMQ running there, and are user, password and "
                    "virtual host right?"
                )
            time.sleep(READY_POLL_S)

    @override
    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._publisher.drain(CLOSE_TIMEOUT_S)
        self._loop.soon(self._connection.close)
        if not self._loop.is_here() and not self._loop.join(CLOSE_TIMEOUT_S):
            self._loop.stop()  # the broker does not answer our farewell
        self._publisher.abandon()

    def _is_settled(self, end: float) -> bool:
        """Whether all that was asked for up to now is in place."""
        settled: Future[bool] = Future()
        self._loop.soon(lambda: settled.set_result(self._connection.settled()))
        try:
            return settled.result(max(0.0, end - time.monotonic()))
        except FutureTimeoutError:
            return False

    def _refuse_here(self, method: str) -> None:
        if self._loop.is_here():
            raise RuntimeError(f"{method}() on the bus's own thread would wait for itself")
