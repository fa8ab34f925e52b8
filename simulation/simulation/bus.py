"""SimBus: the bus port of one simulated process; the contract of `bus.ports.Bus`, by the virtual clock."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import count

from bus.calls import Calls
from bus.follow import Followed, Follower, Rhythm
from bus.place import Place
from bus.ports import (
    BEGINNING,
    Bus,
    Entry,
    Fold,
    LostError,
    OnAnswer,
    Request,
    UndeliveredError,
)
from bus.quarantine import Quarantined
from schema.ids import InstanceName, Offset
from schema.records import Record
from typing_extensions import override

from simulation.broker import FREED_AFTER_KILL_S, Broker
from simulation.life import Life
from simulation.link import Link
from simulation.network import Timer
from simulation.publisher import Publisher
from simulation.reader import Reader, Wanted
from simulation.scheduler import Action
from simulation.snapshot_store import SimSnapshotStore

LEAD_RETRY_S = 0.25
RECONNECT_S = (0.1, 3.0)
"""As on RabbitMQ."""

LEADS = True
"""What a candidate is told when it leads."""


class SimBus(Bus):
    """One process's connection to the broker, made again whenever it is lost.

    Its folds are put away after so many records, `snapshot_every`; 0: never, and every life reads all.
    """

    def __init__(self, life: Life, broker: Broker, snapshot_every: int = 0) -> None:
        self._snapshot_every = snapshot_every
        self.clock = life.clock
        self.on_lost: Action = lambda: None
        self.link = Link(life)
        self.publisher = Publisher(life, self.link, broker)
        self.readers: list[Reader] = []
        self._life = life
        self._broker = broker
        self._calls = Calls(self)
        self._numbers = count()
        self._reply_to = self._name("reply")
        self._queues: list[tuple[str, Callable[[Request], None], bool]] = []
        self._queues.append((self._reply_to, self._on_reply, True))
        self._candidates: dict[str, Callable[[bool], None]] = {}
        self._led: set[str] = set()
        self._on_undeliverable: list[Callable[[str, Request], None]] = []
        life.post(0, self._connect)

    # --- the connection --------------------------------------------------------------------------------

    def _connect(self) -> None:
        if not self._broker.connect(self.link, self._on_lost):
            self._life.post(self._life.random.uniform(*RECONNECT_S), self._connect)
            return
        self.publisher.connected()
        for reader in self.readers:
            reader.connected()
        for queue, on_request, exclusive in self._queues:
            self._declare(queue, on_request, exclusive=exclusive)
        for queue in self._candidates:
            self._probe(queue, self.link.number)

    def _on_lost(self) -> None:
        self.publisher.lost()
        self._calls.fail_all(LostError("the connection to the broker was lost; call again"))
        led, self._led = self._led, set()
        for queue in led:
            self._candidates[queue](not LEADS)
        self._life.post(self._life.random.uniform(0.0, RECONNECT_S[0]), self._connect)

    def killed(self) -> None:
        """The process was killed: what it had sent still arrives, what it held is free in a moment."""
        self._broker.watch(self.link, FREED_AFTER_KILL_S)

    # --- the port --------------------------------------------------------------------------------------

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        self._life.effect()
        return self.publisher.append(instance, records)

    @override
    def tail(
        self,
        instance: InstanceName,
        start: Offset,
        on_entry: Callable[[Entry], None],
        on_live: Callable[[], None],
    ) -> None:
        self._read(Wanted(instance, start, on_entry, on_live, Place(), self._lose, self.publisher.go_on))

    def _lose(self) -> None:
        """A log is not what was read of it."""
        self.on_lost()

    def _read(self, wanted: Wanted) -> Reader:
        reader = Reader(self._life, self.link, self._broker, wanted)
        self.readers.append(reader)
        self.publisher.heed(reader.knows)
        if self.link.up:
            self._life.post(0, reader.connected)
        return reader

    @override
    def follow(self, instance: InstanceName, service: str, fold: Fold) -> None:
        if not self._snapshot_every:
            self.tail(instance, BEGINNING, fold.on_entry, fold.on_live)
            return
        broker, life = self._broker, self._life

        def read(place: Place, on_entry: Callable[[Entry], None], on_live: Action) -> Callable[[], Place]:
            go_on = self.publisher.go_on
            wanted = Wanted(instance, place.next, on_entry, on_live, place, self._lose, go_on)
            return self._read(wanted).place

        messages = broker.snapshot_stores.messages[instance, service]
        store = SimSnapshotStore(life, messages, lambda: self.link.up, partial(broker.holds, instance))
        followed = Followed(
            instance=instance,
            service=service,
            fold=fold,
            store=store,
            clock=self.clock,
            soon=self.call_soon,
            append=partial(self.append, instance),
            read=read,
            begin=lambda work, _: life.begin(work),
            rhythm=Rhythm(records_max=self._snapshot_every, records_min=self._snapshot_every),
        )
        Follower(followed).start()

    def reader_of(self, instance: InstanceName) -> Reader | None:
        """Who reads a log here; nobody while a snapshot is looked for."""
        return next((reader for reader in self.readers if reader.instance == instance), None)

    @override
    def quarantined(self, on_quarantined: Callable[[Quarantined], None]) -> None:
        """Nobody writes anything but records here."""

    @override
    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        self._add(queue, on_request, exclusive=False)

    @override
    def inbox(self, on_message: Callable[[Request], None]) -> str:
        name = self._name("inbox")
        self._add(name, on_message, exclusive=True)
        return name

    @override
    def lead(self, queue: str, on_change: Callable[[bool], None]) -> None:
        self._candidates[queue] = on_change
        if self.link.up:
            self._probe(queue, self.link.number)

    @override
    def send(self, queue: str, request: Request) -> None:
        self._life.effect()
        broker, link = self._broker, self.link
        if not link.up:
            self._life.post(0, lambda: self._come_back(queue, request))
            return

        def come_back() -> None:
            link.to_process(lambda: self._come_back(queue, request))

        link.to_broker(lambda: broker.admit(lambda: broker.send(queue, request, come_back)))

    @override
    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        self._on_undeliverable.append(on_request)

    @override
    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        raise NotImplementedError("nobody waits in the simulation: ask")

    @override
    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        correlation_id = self._calls.begin(queue, timeout_s, on_answer)
        self.send(queue, replace(question, reply_to=self._reply_to, correlation_id=correlation_id))

    @override
    def listen(
        self,
        listener: socket.socket,
        protocols: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        raise NotImplementedError("there are no sockets in the simulation")

    @override
    def accept(self, listener: socket.socket, on_connection: Callable[[socket.socket], None]) -> None:
        raise NotImplementedError("there are no sockets in the simulation")

    @override
    def adopt(self, connected: socket.socket, protocols: Callable[[], asyncio.BaseProtocol]) -> None:
        raise NotImplementedError("there are no sockets in the simulation")

    @override
    def every(self, interval_s: float, action: Callable[[], None]) -> None:
        self._life.post_again(interval_s, action)

    @override
    def later(self, delay_s: float, action: Callable[[], None]) -> Timer:  # type: ignore[override]
        timer = Timer(action)
        self._life.post(delay_s, timer.ring)
        return timer

    @override
    def call_soon(self, action: Callable[[], None]) -> None:
        self._life.post(0, action)

    @override
    def is_sure_of(self, instance: InstanceName) -> bool:
        return all(reader.knows() for reader in self.readers if reader.instance == instance)

    @override
    def ready(self, timeout_s: float) -> None:
        raise NotImplementedError("nobody waits in the simulation")

    @override
    def close(self) -> None:
        """Its process ends; see `killed`."""

    # --- queues ----------------------------------------------------------------------------------------

    def _name(self, kind: str) -> str:
        return f"xenops.{kind}.{self._life.name}.{self._life.random.random()}.{next(self._numbers)}"

    def _add(self, queue: str, on_request: Callable[[Request], None], *, exclusive: bool) -> None:
        self._queues.append((queue, on_request, exclusive))
        if self.link.up:
            self._declare(queue, on_request, exclusive=exclusive)

    def _declare(self, queue: str, on_request: Callable[[Request], None], *, exclusive: bool) -> None:
        broker, link = self._broker, self.link
        link.to_broker(lambda: broker.serve(queue, link, on_request, exclusive=exclusive))

    def _come_back(self, queue: str, request: Request) -> None:
        reason = f"nobody serves the queue {queue}: is its service running?"
        if self._calls.end(request.correlation_id, UndeliveredError(reason)):
            return
        for handler in self._on_undeliverable:
            handler(queue, request)

    def _on_reply(self, reply: Request) -> None:
        self._calls.end(reply.correlation_id, reply.body)

    def _probe(self, queue: str, number: int) -> None:
        """Ask for the leader's queue, again and again until we hold it."""
        if number != self.link.number:
            return
        broker, link = self._broker, self.link

        def hold() -> None:
            if broker.hold(queue, link):
                link.to_process(lambda: self._on_held(queue))
            else:
                link.to_process(lambda: self._life.post(LEAD_RETRY_S, lambda: self._probe(queue, number)))

        link.to_broker(hold)

    def _on_held(self, queue: str) -> None:
        if queue not in self._led:
            self._led.add(queue)
            self._candidates[queue](LEADS)
