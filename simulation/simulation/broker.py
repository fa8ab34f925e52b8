"""Broker: RabbitMQ as far as services rely on it, and as unreliable as it is."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple

from bus.dedup import Dedup
from bus.place import Place, anchor_of
from bus.ports import Entry, Request
from schema.ids import InstanceName, Offset
from schema.records import ENVELOPE, Envelope

from simulation.link import Link
from simulation.scheduler import Action, Scheduler
from simulation.snapshot_store import SnapshotStores

FREED_AFTER_KILL_S = 0.025
"""How long the broker takes to notice that a process was killed, and to free what it held."""

FREED_AFTER_SILENCE_S = 12.0
"""The same of one that stands still or is out of reach: two heartbeats, and some."""

UNROUTABLE_S = 1.0
"""How long after its start the broker knows streams but not yet their bindings."""

OnMessage = Callable[[Request], None]


class Signs(NamedTuple):
    """What stands on a record beside it.

    `settled`: up to which number its writer knows its records to be in the log; `channel`: on which of its
    writer's channels it was sent.
    """

    settled: int = 0
    channel: int = 0


Sent = tuple[bytes, Signs]
"""A record, as it is sent."""

Item = Entry | str
"""What stands in a log: a record as all of its readers get it, or somebody's marker."""


def anchor(item: Item, channel: int) -> str:
    """What tells an item from all others of its log, also from itself if it was sent again."""
    text = item if isinstance(item, str) else f"{item.producer} {item.seq}"
    return anchor_of(text.encode(), str(channel))


@dataclass(slots=True)
class Consumer:
    """One reader's place in one log."""

    link: Link
    number: int
    next: int
    on_item: Callable[[int, Item], None]


@dataclass(slots=True)
class Queue:
    """Who takes a queue's messages, in turn; `owner` of an exclusive one."""

    consumers: deque[tuple[Link, int, OnMessage]] = field(default_factory=deque)
    owner: tuple[Link, int] | None = None


class Broker:
    """Logs, queues and connections; what becomes of a message is told by the callbacks that came with it."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.logs: defaultdict[InstanceName, list[Item]] = defaultdict(list)
        self._signs: defaultdict[InstanceName, list[Signs]] = defaultdict(list)
        self.up = True
        self.alarm: str | None = None
        self.writer_fails = False
        self.snapshot_stores = SnapshotStores()
        self._scheduler = scheduler
        self._random = random
        self._bound_at = 0.0
        self._links: list[tuple[Link, Action]] = []
        self._consumers: defaultdict[InstanceName, list[Consumer]] = defaultdict(list)
        self._queues: dict[str, Queue] = {}
        self._blocked: list[Action] = []
        self._parsed: dict[bytes, Envelope] = {}

    # --- connections ---------------------------------------------------------------------------------

    def connect(self, link: Link, on_lost: Action) -> bool:
        """Let a process in; `on_lost` when the connection is lost. Answers whether it is in."""
        if not self.up or link.stalled:
            return False
        link.open()
        self._links.append((link, on_lost))
        return True

    def disconnect(self, link: Link) -> None:
        """A connection is over: its queues and its places in logs go with it."""
        if not link.up:
            return
        lost = [on_lost for known, on_lost in self._links if known is link]
        self._links = [pair for pair in self._links if pair[0] is not link]
        link.cut()
        for consumers in self._consumers.values():
            consumers[:] = [consumer for consumer in consumers if consumer.link is not link]
        for name, queue in list(self._queues.items()):
            queue.consumers = deque(entry for entry in queue.consumers if entry[0] is not link)
            is_owners = queue.owner is not None and queue.owner[0] is link
            if is_owners or (queue.owner is None and not queue.consumers):
                del self._queues[name]
        for on_lost in lost:
            link.life.post(0, on_lost)

    def watch(self, link: Link, after_s: float) -> None:
        """Part from a process that is dead, or stands still for so long."""
        number = link.number

        def look() -> None:
            silent = not link.life.alive or link.life.paused or link.stalled
            if link.number == number and silent:
                self.disconnect(link)

        self._scheduler.after(after_s, look)

    def stop(self) -> None:
        """The broker is killed: confirmed records are kept, all else is gone."""
        self.up = False
        self._blocked.clear()
        for link, _ in list(self._links):
            self.disconnect(link)
        self._queues.clear()

    def lose(self, instance: InstanceName, kept: float, *, bare: bool) -> None:
        """Of a log there is only so much of its beginning left; `bare`: and no snapshot."""
        log = self.logs[instance]
        end = int(len(log) * kept)
        del log[end:], self._signs[instance][end:]
        if bare:
            self.snapshot_stores.clear(instance)

    def start(self) -> None:
        """It is up again; for a moment records find no log to go to."""
        self.up = True
        self._bound_at = self._scheduler.now + UNROUTABLE_S

    def set_alarm(self, reason: str | None) -> None:
        """Out of memory or disk: nothing is taken from anybody, until there is enough."""
        self.alarm = reason
        if reason is None:
            blocked, self._blocked = self._blocked, []
            for action in blocked:
                action()

    def admit(self, action: Action) -> None:
        """Take a message; while the alarm lasts, connections that send are not read."""
        if not self.up:
            return
        if self.alarm is not None:
            self._blocked.append(action)
        else:
            action()

    # --- logs ------------------------------------------------------------------------------------------

    def publish(self, sent: Sent, confirm: Action, come_back: Action) -> None:
        """Append a record."""
        if self._scheduler.now < self._bound_at:
            come_back()
            return
        if self.writer_fails:  # written or not: nobody is told
            if self._random.random() < 0.5:
                self._append(sent)
            return
        self._append(sent)
        confirm()

    def mark(self, instance: InstanceName, marker: str) -> None:
        """Append a reader's own marker."""
        self.logs[instance].append(marker)
        self._signs[instance].append(Signs())
        self._pump(instance)

    def consume(self, instance: InstanceName, consumer: Consumer) -> None:
        """Read a log from a place on; the broker may begin a little before it."""
        consumer.next = max(0, consumer.next - self._random.choice((0, 0, 1, 5)))
        self._consumers[instance].append(consumer)
        self._pump(instance)

    def holds(self, instance: InstanceName, place: Place) -> bool:
        """Whether a log is the one in which this place was."""
        log, before = self.logs[instance], place.next - 1
        if before < 0:
            return True
        return before < len(log) and anchor(log[before], self.signs(instance, before).channel) == place.anchor

    def signs(self, instance: InstanceName, offset: int) -> Signs:
        """What stands on what stands there."""
        return self._signs[instance][offset]

    def entries(self, instance: InstanceName) -> Iterator[Entry]:
        """What every reader takes of a log."""
        dedup = Dedup()
        for item, signs in zip(self.logs[instance], self._signs[instance], strict=True):
            if isinstance(item, Entry) and dedup.accepts(item.producer, item.seq, signs.settled):
                yield item

    def _parse(self, body: bytes) -> Envelope:
        envelope = self._parsed.get(body)
        if envelope is None:
            envelope = self._parsed[body] = ENVELOPE.validate_json(body)
        return envelope

    def _append(self, sent: Sent) -> None:
        body, signs = sent
        found = self._parse(body)
        log = self.logs[found.instance]
        log.append(Entry(Offset(len(log)), found.at, found.record, found.producer, found.seq))
        self._signs[found.instance].append(signs)
        self._pump(found.instance)

    def _pump(self, instance: InstanceName) -> None:
        log = self.logs[instance]
        for consumer in self._consumers[instance]:
            while consumer.next < len(log):
                offset, item = consumer.next, log[consumer.next]
                consumer.next += 1
                consumer.link.to_process(partial(consumer.on_item, offset, item))

    # --- queues ----------------------------------------------------------------------------------------

    def serve(self, name: str, link: Link, on_message: OnMessage, *, exclusive: bool) -> None:
        """Let a process take a queue's messages."""
        queue = self._queues.setdefault(name, Queue())
        queue.consumers.append((link, link.number, on_message))
        if exclusive:
            queue.owner = (link, link.number)

    def send(self, name: str, request: Request, come_back: Action) -> None:
        """Hand a message to whoever serves a queue."""
        queue = self._queues.get(name)
        if queue is None or not queue.consumers:
            come_back()
            return
        link, _, on_message = queue.consumers[0]
        queue.consumers.rotate(-1)
        link.to_process(lambda: on_message(request))

    def hold(self, name: str, link: Link) -> bool:
        """Let a process have an exclusive queue, if nobody has it."""
        queue = self._queues.get(name)
        if queue is not None:
            return queue.owner is not None and queue.owner[0] is link
        self._queues[name] = Queue(owner=(link, link.number))
        return True
