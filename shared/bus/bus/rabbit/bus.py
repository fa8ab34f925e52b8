"""RabbitBus: one service's connection to a RabbitMQ broker, made again whenever it is lost."""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial

from schema.ids import InstanceName, Offset
from schema.records import Record
from typing_extensions import override

from bus.direct import DirectClient, DirectServer
from bus.follow import Followed, Follower
from bus.loop import Action, guarded
from bus.looped import LoopedBus
from bus.place import Place
from bus.ports import (
    BEGINNING,
    BrokerSeen,
    BusRefusedError,
    BusUnavailableError,
    Entry,
    Fold,
    OnAnswer,
    Request,
)
from bus.quarantine import Quarantined
from bus.rabbit.connection import Connection
from bus.rabbit.constants import CLOSE_TIMEOUT_S, READY_POLL_S
from bus.rabbit.existence import may_have_log
from bus.rabbit.leader import Candidate
from bus.rabbit.publisher import Publisher, Signature
from bus.rabbit.reader import OnLost, Reader, Subscription, Watch, say_lost
from bus.rabbit.requests import Post, ServedQueue
from bus.rabbit.snapshot_store import RabbitSnapshotStore
from bus.rabbit.stream import Logs
from bus.retention import USUAL, Retention
from bus.topology import inbox_queue


class RabbitBus(LoopedBus):
    """The contract of `bus.ports.LookingBus` on RabbitMQ 3.10 and later.

    `url` is `amqp://user:password@host:port/vhost`, or several for the nodes of a cluster (see
    `bus.rabbit.address`). `instances` are those whose logs this service writes:
    their streams are made before anything is sent, kept as `makes_logs` says, or, with None, waited for. The
    constructor returns at once; see `ready`. A handler that runs for more than some seconds lets the broker
    think us dead. `on_lost` is told, on the bus's thread, that a log is not the one any more that was read,
    and why; nothing more of it is handed over.

    Raises:
        BusAddressError: `url` makes no sense.
    """

    def __init__(
        self,
        url: str,
        name: str = "xenops",
        instances: tuple[InstanceName, ...] = (),
        *,
        makes_logs: Retention | None = USUAL,
        on_lost: OnLost = say_lost,
    ) -> None:
        super().__init__(name)
        self._logs = Logs(makes_logs)
        self._on_lost = on_lost
        self._connection = Connection(url, name, self._loop)
        self._publisher = Publisher(self._loop, Signature(name, self._connection.user), instances, self._logs)
        self._post = Post(self._loop)
        self._direct_client = DirectClient(self._loop, self._connection.broker)
        self._direct_server = DirectServer(self._loop, self._connection.broker)
        self._on_quarantined: list[Callable[[Quarantined], None]] = []
        self._readers: list[Reader] = []
        self._connection.add(self._post)
        self._connection.add(self._publisher)
        self._loop.soon(self._connection.open)
        self._loop.start()

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        return self._publisher.append(instance, records)

    @override
    def broker(self) -> BrokerSeen:
        return self._connection.seen()

    @override
    def tail(
        self,
        instance: InstanceName,
        start: Offset,
        on_entry: Callable[[Entry], None],
        on_live: Action,
    ) -> None:
        self._begin_to_read(Subscription(instance, start, on_entry, on_live, self._logs))

    @override
    def tail_since(
        self,
        instance: InstanceName,
        at: float,
        on_entry: Callable[[Entry], None],
        on_live: Action,
    ) -> None:
        self._begin_to_read(Subscription(instance, BEGINNING, on_entry, on_live, self._logs, since=at))

    def _begin_to_read(self, wanted: Subscription) -> None:
        def begin() -> None:
            self._read(wanted)

        self._loop.soon(begin)

    def _read(self, wanted: Subscription) -> Reader:
        reader = Reader(self._loop, wanted, self._watch())
        self._publisher.heed(reader.knows)
        self._readers.append(reader)
        self._connection.add(reader)
        return reader

    def _watch(self) -> Watch:
        connection = self._connection

        def holds(instance: InstanceName, place: Place) -> bool:
            return RabbitSnapshotStore(lambda: connection.parameters, instance, "").holds(place)

        return Watch(self._tell_quarantined, self._on_lost, holds, self._publisher.go_on)

    @override
    def follow(self, instance: InstanceName, service: str, fold: Fold) -> None:
        def read(place: Place, on_entry: Callable[[Entry], None], on_live: Action) -> Callable[[], Place]:
            wanted = Subscription(instance, place.next, on_entry, on_live, self._logs, place)
            return self._read(wanted).place

        store = RabbitSnapshotStore(lambda: self._connection.parameters, instance, service)
        append = partial(self.append, instance)
        followed = Followed(instance, service, fold, store, self.clock, self.call_soon, append, read)
        Follower(followed).start()

    @override
    def quarantined(self, on_quarantined: Callable[[Quarantined], None]) -> None:
        self._loop.soon(lambda: self._on_quarantined.append(on_quarantined))

    def _tell_quarantined(self, one: Quarantined) -> None:
        for handler in self._on_quarantined:
            guarded(lambda handler=handler: handler(one))  # type: ignore[misc]

    @override
    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        self._loop.soon(lambda: self._open(queue, on_request, exclusive=False))

    @override
    def inbox(self, on_message: Callable[[Request], None]) -> str:
        name = inbox_queue(uuid.uuid4().hex)
        self._loop.soon(lambda: self._open(name, on_message, exclusive=True))
        return name

    def _open(self, queue: str, on_request: Callable[[Request], None], *, exclusive: bool) -> None:
        self._connection.add(ServedQueue(queue, on_request, exclusive=exclusive))
        self._direct_server.serve(queue, on_request)

    @override
    def lead(self, queue: str, on_change: Callable[[bool], None]) -> None:
        candidate = Candidate(queue, on_change, self._loop)
        self._loop.soon(lambda: self._connection.add(candidate))

    @override
    def send(self, queue: str, request: Request) -> None:
        if self._direct_server.answer(queue, request):
            return
        if self._loop.is_here():
            self._send_here(queue, request)
        else:
            self._loop.soon(lambda: self._send_here(queue, request))

    def _send_here(self, queue: str, request: Request) -> None:
        if not self._direct_client.send(queue, request):
            self._post.send(queue, request)

    @override
    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        self._post.undeliverable(on_request)

    @override
    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        if self._loop.is_here():
            self._ask_here(queue, question, timeout_s, on_answer)
        else:
            self._loop.soon(lambda: self._ask_here(queue, question, timeout_s, on_answer))

    def _ask_here(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        if not self._direct_client.ask(queue, question, timeout_s, on_answer):
            self._post.ask(queue, question, timeout_s, on_answer)

    @override
    def knows(self, instance: InstanceName) -> bool:
        self._refuse_here("knows")
        return may_have_log(self._connection.parameters, instance)

    @override
    def is_sure_of(self, instance: InstanceName) -> bool:
        return all(reader.knows() for reader in self._readers if reader.instance == instance)

    @override
    def ready(self, timeout_s: float) -> None:
        self._refuse_here("ready")
        end = time.monotonic() + timeout_s
        while not self._is_ready(end):
            if self._connection.is_refused:
                raise BusRefusedError(self._connection.complaint(timeout_s))
            if time.monotonic() > end or self._closed.is_set():
                raise BusUnavailableError(self._connection.complaint(timeout_s))
            time.sleep(READY_POLL_S)

    @override
    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._publisher.drain(CLOSE_TIMEOUT_S)
        self._loop.soon(self._part)
        if not self._loop.is_here() and not self._loop.join(CLOSE_TIMEOUT_S):
            self._loop.stop()  # the broker does not answer our farewell
        self._publisher.abandon()

    def _part(self) -> None:
        self._direct_client.close()
        self._direct_server.close()
        self._connection.close()

    def _is_ready(self, end: float) -> bool:
        """Whether all that was asked for up to now is in place."""
        settled: Future[bool] = Future()
        self._loop.soon(lambda: settled.set_result(self._connection.is_ready()))
        try:
            return settled.result(max(0.0, end - time.monotonic()))
        except FutureTimeoutError:
            return False
