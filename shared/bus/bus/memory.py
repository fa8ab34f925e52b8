"""Memory: the bus within one process, for tests and as the embedded default; the same contract, no broker."""

import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

from schema.ids import InstanceName, Offset
from schema.records import Envelope, Record
from typing_extensions import override

from bus.calls import Calls
from bus.dedup import Dedup
from bus.follow import Followed, Follower, SnapshotStore
from bus.logs import about, of_entry
from bus.loop import Action, guarded
from bus.looped import LoopedBus
from bus.place import Place
from bus.ports import BusUnavailableError, Entry, Fold, OnAnswer, Request, UndeliveredError
from bus.quarantine import Quarantined
from bus.snapshots import Assembly
from bus.stamp import Stamp
from bus.topology import inbox_queue

JOIN_TIMEOUT_S = 5.0
"""How long `close` waits for a handler that runs."""

LEADS = True
"""What a candidate is told when it leads."""

_Consumer = tuple["MemoryBus", Callable[[Request], None]]
_Candidate = tuple["MemoryBus", Callable[[bool], None]]


@dataclass(slots=True)
class _Tail:
    """One reader's place in one log."""

    bus: "MemoryBus"
    log: list[Envelope]
    next: int
    on_entry: Callable[[Entry], None]
    on_live: Action | None
    dedup: Dedup = field(default_factory=Dedup)

    def drain(self) -> None:
        """Hand over all that is there."""
        while self.next < len(self.log):
            offset, envelope = self.next, self.log[self.next]
            self.next += 1
            if self.dedup.accepts(envelope.producer, envelope.seq):
                producer, seq = envelope.producer, envelope.seq
                entry = Entry(Offset(offset), envelope.at, envelope.record, producer, seq)
                with about(lambda entry=entry: of_entry(entry)):  # type: ignore[misc]
                    guarded(lambda entry=entry: self.on_entry(entry))  # type: ignore[misc]
        if self.on_live is not None:
            on_live, self.on_live = self.on_live, None
            guarded(on_live)


class MemorySnapshotStore(SnapshotStore):
    """The last snapshot of one service, in memory; the log it was made of is always the one that is there."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    @override
    def newest_first(self) -> Iterator[bytes]:
        assembly = Assembly()
        return iter([whole for piece in self._pieces if (whole := assembly.add(piece)) is not None])

    @override
    def holds(self, place: Place) -> bool:
        return True

    @override
    def first(self) -> int:
        return 0

    @override
    def put(self, pieces: Iterator[bytes]) -> int:
        self._pieces = list(pieces)
        return sum(map(len, self._pieces))


class MemoryBroker:
    """What the buses of one process share: logs, queues and who leads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._logs: defaultdict[InstanceName, list[Envelope]] = defaultdict(list)
        self._tails: defaultdict[InstanceName, list[_Tail]] = defaultdict(list)
        self._consumers: defaultdict[str, deque[_Consumer]] = defaultdict(deque)
        self._candidates: defaultdict[str, list[_Candidate]] = defaultdict(list)
        self._snapshots: defaultdict[tuple[InstanceName, str], MemorySnapshotStore]
        self._snapshots = defaultdict(MemorySnapshotStore)

    def append(self, instance: InstanceName, envelopes: list[Envelope]) -> None:
        """Write envelopes, repeated ones too: readers sort that out."""
        with self._lock:
            self._logs[instance].extend(envelopes)
            tails = list(self._tails[instance])
        for tail in tails:
            tail.bus.call_soon(tail.drain)

    def log(self, instance: InstanceName) -> list[Envelope]:
        """A copy of a log."""
        with self._lock:
            return list(self._logs[instance])

    def knows(self, instance: InstanceName) -> bool:
        """Whether anybody has written or reads the log of an instance."""
        with self._lock:
            return bool(self._logs.get(instance) or self._tails.get(instance))

    def add_tail(self, instance: InstanceName, make: Callable[[list[Envelope]], _Tail]) -> _Tail:
        """Register a reader of a log, made from the log itself."""
        with self._lock:
            tail = make(self._logs[instance])
            if not tail.bus.has_left:
                self._tails[instance].append(tail)
        return tail

    def snapshot_store(self, instance: InstanceName, service: str) -> MemorySnapshotStore:
        """Where a service's snapshots are."""
        with self._lock:
            return self._snapshots[instance, service]

    def add_consumer(self, name: str, bus: "MemoryBus", handler: Callable[[Request], None]) -> None:
        """Register a server of a queue."""
        with self._lock:
            if not bus.has_left:
                self._consumers[name].append((bus, handler))

    def deliver(self, name: str, request: Request) -> bool:
        """Give a message to the next server of a queue, in turn; answers whether there is one."""
        with self._lock:
            consumers = self._consumers[name]
            if not consumers:
                del self._consumers[name]
                return False
            bus, handler = consumers[0]
            consumers.rotate(-1)
        bus.call_soon(lambda: handler(request))
        return True

    def queues(self) -> list[str]:
        """The queues that somebody serves."""
        with self._lock:
            return list(self._consumers)

    def stand(self, name: str, bus: "MemoryBus", on_change: Callable[[bool], None]) -> None:
        """Put a candidate in the line for leadership; the first leads."""
        with self._lock:
            if bus.has_left:
                return
            self._candidates[name].append((bus, on_change))
            first = len(self._candidates[name]) == 1
        if first:
            bus.call_soon(lambda: on_change(LEADS))

    def leave(self, bus: "MemoryBus") -> None:
        """Forget a bus; whoever stands behind it leads now.

        What its thread still does before it ends counts no more: it would stand, or serve, for ever.
        """
        with self._lock:
            bus.has_left = True
            for name, consumers in list(self._consumers.items()):
                remaining = deque(consumer for consumer in consumers if consumer[0] is not bus)
                self._consumers[name] = remaining
                if not remaining:
                    del self._consumers[name]
            for tails in self._tails.values():
                tails[:] = [tail for tail in tails if tail.bus is not bus]
            for candidates in self._candidates.values():
                self._succeed(candidates, bus)

    @staticmethod
    def _succeed(candidates: "list[_Candidate]", leaving: "MemoryBus") -> None:
        """One leaves the line; if he led, he is told that he does no more, and the next that he does."""
        leader = candidates[0] if candidates else None
        candidates[:] = [candidate for candidate in candidates if candidate[0] is not leaving]
        if leader is None or leader[0] is not leaving:
            return
        leaving.call_soon(lambda: leader[1](not LEADS))
        if candidates:
            successor, on_change = candidates[0]
            successor.call_soon(lambda: on_change(LEADS))


class MemoryBus(LoopedBus):
    """One service's connection to a `MemoryBroker`, with a thread of its own."""

    def __init__(self, broker: MemoryBroker, name: str = "memory") -> None:
        super().__init__(name)
        self.has_left = False
        self._broker = broker
        self._stamp = Stamp(f"{name}-{uuid.uuid4().hex}")
        self._append_lock = threading.Lock()
        self._calls = Calls(self._loop)
        self._reply_to = f"xenops.reply.{uuid.uuid4().hex}"
        self._on_undeliverable: list[Callable[[str, Request], None]] = []
        broker.add_consumer(self._reply_to, self, self._on_reply)
        self._loop.start()

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        future: Future[None] = Future()
        if self._closed.is_set():
            future.set_exception(BusUnavailableError("append to a bus that is closed"))
            return future
        with self._append_lock:
            self._broker.append(instance, self._stamp.envelopes(instance, records, time.time()))
            self._stamp.take(instance, len(records))
        future.set_result(None)
        return future

    @override
    def tail(
        self,
        instance: InstanceName,
        start: Offset,
        on_entry: Callable[[Entry], None],
        on_live: Action,
    ) -> None:
        def make(log: list[Envelope]) -> _Tail:
            tail = _Tail(self, log, 0, on_entry, on_live)
            while tail.next < min(start, len(log)):
                skipped = log[tail.next]
                tail.dedup.accepts(skipped.producer, skipped.seq)
                tail.next += 1
            return tail

        self.call_soon(self._broker.add_tail(instance, make).drain)

    @override
    def tail_since(
        self,
        instance: InstanceName,
        at: float,
        on_entry: Callable[[Entry], None],
        on_live: Action,
    ) -> None:
        def make(log: list[Envelope]) -> _Tail:
            first = next((place for place, one in enumerate(log) if one.at >= at), len(log))
            return _Tail(self, log, first, on_entry, on_live, Dedup(truncated=True))

        self.call_soon(self._broker.add_tail(instance, make).drain)

    @override
    def follow(self, instance: InstanceName, service: str, fold: Fold) -> None:
        def read(place: Place, on_entry: Callable[[Entry], None], on_live: Action) -> Callable[[], Place]:
            def make(log: list[Envelope]) -> _Tail:
                return _Tail(self, log, place.next, on_entry, on_live, Dedup(place.producers))

            tail = self._broker.add_tail(instance, make)
            self.call_soon(tail.drain)
            return lambda: Place(Offset(tail.next), "", tail.dedup.last())

        store = self._broker.snapshot_store(instance, service)
        append = partial(self.append, instance)
        followed = Followed(instance, service, fold, store, self.clock, self.call_soon, append, read)
        Follower(followed).start()

    @override
    def quarantined(self, on_quarantined: Callable[[Quarantined], None]) -> None:
        """Nobody can write anything but records here."""

    @override
    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        self._broker.add_consumer(queue, self, on_request)

    @override
    def inbox(self, on_message: Callable[[Request], None]) -> str:
        name = inbox_queue(uuid.uuid4().hex)
        self._broker.add_consumer(name, self, on_message)
        return name

    @override
    def lead(self, queue: str, on_change: Callable[[bool], None]) -> None:
        self._broker.stand(queue, self, on_change)

    @override
    def send(self, queue: str, request: Request) -> None:
        if not self._broker.deliver(queue, request):
            for handler in self._on_undeliverable:
                self.call_soon(lambda handler=handler: handler(queue, request))  # type: ignore[misc]

    @override
    def undeliverable(self, on_request: Callable[[str, Request], None]) -> None:
        self._on_undeliverable.append(on_request)

    @override
    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        self.call_soon(lambda: self._ask_here(queue, question, timeout_s, on_answer))

    @override
    def knows(self, instance: InstanceName) -> bool:
        return self._broker.knows(instance)

    @override
    def ready(self, timeout_s: float) -> None:
        done = threading.Event()
        self.call_soon(done.set)
        if not done.wait(timeout_s):
            raise BusUnavailableError(f"the bus's thread was busy for {timeout_s:g} s")

    @override
    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._broker.leave(self)
        self.call_soon(lambda: self._calls.fail_all(BusUnavailableError("the bus was closed meanwhile")))
        self._loop.stop()
        if not self._loop.is_here():
            self._loop.join(JOIN_TIMEOUT_S)

    def _ask_here(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        correlation_id = self._calls.begin(queue, timeout_s, on_answer)
        asked = replace(question, reply_to=self._reply_to, correlation_id=correlation_id)
        if not self._broker.deliver(queue, asked):
            sentence = f"nobody serves the queue {queue}: is its service running?"
            self._calls.end(correlation_id, UndeliveredError(sentence))

    def _on_reply(self, reply: Request) -> None:
        self._calls.end(reply.correlation_id, reply.body)
