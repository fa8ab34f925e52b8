"""Reader: one process's place in one log, through all that may happen to the broker."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bus.dedup import Dedup
from bus.place import Place
from bus.ports import Entry
from schema.ids import InstanceName, Offset

from simulation.broker import Broker, Consumer, Item, anchor
from simulation.life import Life
from simulation.link import Link
from simulation.scheduler import Action

MARKER_RETRY_S = 1.0
"""How long a marker may take before another is sent, as on RabbitMQ."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments of `Bus.tail`, and the place of a fold that is taken up."""

    instance: InstanceName
    start: Offset
    on_entry: Callable[[Entry], None]
    on_live: Action
    place: Place = field(default_factory=Place)
    on_lost: Action = lambda: None
    on_known: Action = lambda: None


class Reader:
    """Hands over every entry once and in order; knows that it is caught up when its marker comes by."""

    def __init__(self, life: Life, link: Link, broker: Broker, wanted: Wanted) -> None:
        self._life = life
        self._link = link
        self._broker = broker
        self._wanted = wanted
        self._dedup = Dedup(wanted.place.producers)
        self._next: int = wanted.place.next
        self._last: tuple[Item, int] | None = None
        self._marker = ""
        self._is_live = False
        self._known_on = -1

    @property
    def next(self) -> int:
        """Up to where it has read."""
        return self._next

    def knows(self) -> bool:
        """Whether its log is the one that it has read; one of which it has read nothing is."""
        return self._next == 0 or (self._link.up and self._known_on == self._link.number)

    @property
    def is_of_log(self) -> bool:
        """Whether what it has read still stands where it stood."""
        return self._broker.holds(self.instance, self.place())

    @property
    def instance(self) -> InstanceName:
        """Whose log it reads."""
        return self._wanted.instance

    def place(self) -> Place:
        """Where it is: behind the entry that is being handed over."""
        before = self._wanted.place.anchor if self._last is None else anchor(*self._last)
        return Place(Offset(self._next), before, self._dedup.last())

    def connected(self) -> None:
        """There is a connection: go on where we were."""
        consumer = Consumer(self._link, self._link.number, self._next, self._on_item)
        self._marker = f"{self._life.name}/{self._life.random.random()}"
        self._link.to_broker(lambda: self._consume(consumer))
        self._mark_end(self._link.number)

    def _consume(self, consumer: Consumer) -> None:
        """What was read last must still stand where it stood, else it is not the log that was read."""
        if self.is_of_log:
            self._broker.consume(self.instance, consumer)
            self._link.with_last(self._know)
        else:
            self._link.to_process(self._wanted.on_lost)

    def _know(self) -> None:
        self._known_on = self._link.number
        self._wanted.on_known()

    def _mark_end(self, number: int) -> None:
        if not self._marker or number != self._link.number:
            return
        broker, instance, marker = self._broker, self._wanted.instance, self._marker
        self._link.to_broker(lambda: broker.admit(lambda: broker.mark(instance, marker)))
        self._life.post(MARKER_RETRY_S, lambda: self._mark_end(number))

    def _on_item(self, offset: int, item: Item) -> None:
        if isinstance(item, str):
            if item == self._marker:
                self._pass_marker()
            if offset >= self._next:
                self._next, self._last = offset + 1, (item, 0)
            return
        if offset < self._next:
            return  # the broker begins a little before what was asked for
        signs = self._broker.signs(self.instance, offset)
        self._next, self._last = offset + 1, (item, signs.channel)
        if self._dedup.accepts(item.producer, item.seq, signs.settled) and offset >= self._wanted.start:
            self._wanted.on_entry(item)

    def _pass_marker(self) -> None:
        self._marker = ""
        if not self._is_live:
            self._is_live = True
            self._wanted.on_live()
