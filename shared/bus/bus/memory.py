"""Memory: the bus within one process, for tests and as the embedded default; the same contract, no broker."""

import heapq
import itertools
import queue
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field

from schema.ids import InstanceName, Offset
from schema.records import Envelope, Record
from typing_extensions import override

from bus.dedup import Dedup
from bus.ports import Bus, BusUnavailableError, Entry, Request, RequestTimeoutError
from bus.stamp import Stamp
from bus.trouble import report

JOIN_TIMEOUT_S = 5.0
"""How long `close` waits for a handler that runs."""

LEADS = True
"""What a candidate is told when it leads."""

Action = Callable[[], None]
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
                entry = Entry(Offset(offset), envelope.at, envelope.record)
                self.bus.guarded(lambda entry=entry: self.on_entry(entry))  # type: ignore[misc]
        if self.on_live is not None:
            on_live, self.on_live = self.on_live, None
            self.bus.guarded(on_live)


class MemoryBroker:
    """What the buses of one process share: logs, queues and who leads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._logs: defaultdict[InstanceName, list[Envelope]] = defaultdict(list)
        self._tails: defaultdict[InstanceName, list[_Tail]] = defaultdict(list)
        self._consumers: defaultdict[str, deque[_Consumer]] = defaultdict(deque)
        self._candidates: defaultdict[str, list[_Candidate]] = defaultdict(list)

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

    def add_tail(self, instance: InstanceName, make: Callable[[list[Envelope]], _Tail]) -> _Tail:
        """Register a reader of a log, made from the log itself."""
        with self._lock:
            tail = make(self._logs[instance])
            self._tails[instance].append(tail)
        return tail

    def add_consumer(self, name: str, bus: "MemoryBus", handler: Callable[[Request], None]) -> None:
        """Register a server of a queue."""
        with self._lock:
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

    def forget(self, name: str) -> None:
        """A queue is no more."""
        with self._lock:
            self._consumers.pop(name, None)

    def stand(self, name: str, bus: "MemoryBus", on_change: Callable[[bool], None]) -> None:
        """Put a candidate in the line for leadership; the first leads."""
        with self._lock:
            self._candidates[name].append((bus, on_change))
            first = len(self._candidates[name]) == 1
        if first:
            bus.call_soon(lambda: on_change(LEADS))

    def leave(self, bus: "MemoryBus") -> None:
        """Forget a bus; whoever stands behind it leads now."""
        with self._lock:
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


class MemoryBus(Bus):
    """One service's connection to a `MemoryBroker`, with a thread of its own."""

    def __init__(self, broker: MemoryBroker, name: str = "memory") -> None:
        self._broker = broker
        self._stamp = Stamp(f"{name}-{uuid.uuid4().hex}")
        self._append_lock = threading.Lock()
        self._actions: queue.SimpleQueue[Action | None] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, float, Action]] = []
        self._timer_ids = itertools.count()
        self._on_undeliverable: list[Callable[[str, Request], None]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"bus-{name}", daemon=True)
        self._thread.start()

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
    def serve(self, queue: str, on_request: Callable[[Request], None]) -> None:
        self._broker.add_consumer(queue, self, on_request)

    @override
    def inbox(self, on_message: Callable[[Request], None]) -> str:
        name = f"xenops.inbox.{uuid.uuid4().hex}"
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
    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        if threading.current_thread() is self._thread:
            raise RuntimeError("call() on the bus's own thread would wait for itself")
        if self._closed.is_set():
            raise BusUnavailableError(f"call to the queue {queue} on a bus that is closed")
        answer: Future[bytes] = Future()
        reply_to = f"xenops.reply.{uuid.uuid4().hex}"
        self._broker.add_consumer(reply_to, self, lambda reply: _end(answer, reply.body))
        try:
            if not self._broker.deliver(queue, Request(body, reply_to, reply_to)):
                raise BusUnavailableError(f"nobody serves the queue {queue}: is its service running?")
            return answer.result(timeout_s)
        except FutureTimeoutError:
            raise RequestTimeoutError(f"no answer from the queue {queue} within {timeout_s:g} s") from None
        finally:
            self._broker.forget(reply_to)

    @override
    def every(self, interval_s: float, action: Action) -> None:
        self.call_soon(lambda: self._schedule(time.monotonic() + interval_s, interval_s, action))

    @override
    def call_soon(self, action: Action) -> None:
        self._actions.put(action)

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
        self._actions.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_TIMEOUT_S)

    def guarded(self, action: Action) -> None:
        """Run a handler; a bug in it is reported and costs nobody else anything."""
        try:
            action()
        except Exception as error:  # noqa: BLE001  the bus's loop: the next message is another's
            report(error)

    def _schedule(self, due: float, interval_s: float, action: Action) -> None:
        heapq.heappush(self._timers, (due, next(self._timer_ids), interval_s, action))

    def _run(self) -> None:
        while True:
            try:
                action = self._actions.get(timeout=self._patience())
            except queue.Empty:
                self._run_timers()
                continue
            if action is None:
                return
            self.guarded(action)
            self._run_timers()

    def _patience(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, interval_s, action = heapq.heappop(self._timers)
            self._schedule(now + interval_s, interval_s, action)
            self.guarded(action)


def _end(answer: Future[bytes], body: bytes) -> None:
    try:
        answer.set_result(body)
    except InvalidStateError:
        return  # a second answer to one request
