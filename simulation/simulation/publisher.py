"""Publisher: the bus's own go-back-N (`bus.window`, `bus.stamp`) over a simulated channel."""

from collections.abc import Callable
from concurrent.futures import Future

from bus.ports import BusBlockedError, BusError
from bus.stamp import Stamp
from bus.topology import routing_key
from bus.window import Parcel, Window
from schema.ids import InstanceName
from schema.records import ENVELOPE, Record

from simulation.broker import Broker, Signs
from simulation.life import Life
from simulation.link import Link

CONFIRM_TIMEOUT_S = 5.0
CONFIRM_CHECK_S = 1.0
"""As on RabbitMQ: how long to wait for a confirm, and how often to look."""

RETRY_S = 0.3
"""How long a new channel takes at most."""


class Publisher:
    """One process's; whatever it has sent and not seen confirmed is sent again on each new channel."""

    def __init__(self, life: Life, link: Link, broker: Broker) -> None:
        self._life = life
        self._link = link
        self._broker = broker
        self._stamp = Stamp(f"{life.name}/{life.random.random()}")
        self._window = Window()
        self._channel = 0
        self._tag = 0
        self._placed = False
        self._flushing = False
        self._moved_at = 0.0
        self._knows: list[Callable[[], bool]] = []
        life.post(CONFIRM_CHECK_S, self._check)

    def append(self, instance: InstanceName, records: tuple[Record, ...]) -> Future[None]:
        """Take records for sending; the future ends when the last of them is confirmed."""
        future: Future[None] = Future()
        try:
            self._admit(len(records))
        except BusError as error:
            future.set_exception(error)
            return future
        envelopes = self._stamp.envelopes(instance, records, self._life.clock.now())
        parcels = [(routing_key(instance, each.record), ENVELOPE.dump_json(each)) for each in envelopes]
        self._window.accept(parcels, future, instance)
        self._stamp.take(instance, len(records))
        if not self._flushing:
            self._flushing = True
            self._life.post(0, self._flush)
        return future

    def heed(self, knows: Callable[[], bool]) -> None:
        """Send only while a reader knows its log, as on RabbitMQ; whoever comes to know it calls `go_on`."""
        self._knows.append(knows)

    def go_on(self) -> None:
        """Send what waits, if it may be sent now."""
        self._flush()

    def unconfirmed(self) -> int:
        """How many records wait."""
        return self._window.unconfirmed()

    def connected(self) -> None:
        """There is a connection: open a channel on it."""
        self._channel += 1
        channel = self._channel
        self._link.to_broker(lambda: self._link.to_process(lambda: self._settle(channel)))

    def lost(self) -> None:
        """The connection is gone."""
        self._channel += 1
        self._placed = False

    def _admit(self, count: int) -> None:
        if self._broker.alarm is not None and self._link.up:
            raise BusBlockedError(f"the broker takes no records for now ({self._broker.alarm})")
        self._window.admit(count)

    def _settle(self, channel: int) -> None:
        if channel == self._channel:
            self._window.restart()
            self._tag = 0
            self._placed = True
            self._moved_at = self._life.clock.monotonic()
            self._flush()

    def _flush(self) -> None:
        self._flushing = False
        if self._placed and self._may_send():
            for parcel in self._window.to_send():
                self._tag += 1
                self._send(parcel, self._tag, self._channel)

    def _may_send(self) -> bool:
        return all(knows() for knows in self._knows)

    def _send(self, parcel: Parcel, tag: int, channel: int) -> None:
        """Each record may be told of as long as its channel lives."""
        link, broker = self._link, self._broker
        signs = Signs(self._window.settled(parcel.log), channel)

        def confirm() -> None:
            link.to_process(lambda: self._on_confirm(channel, tag))

        def come_back() -> None:
            link.to_process(lambda: self._give_up(channel))

        link.to_broker(lambda: broker.admit(lambda: broker.publish((parcel.body, signs), confirm, come_back)))

    def _on_confirm(self, channel: int, tag: int) -> None:
        if channel == self._channel:
            front = self._window.front
            for future in self._window.confirm(tag, multiple=False):
                future.set_result(None)
            if self._window.front != front:
                self._moved_at = self._life.clock.monotonic()

    def _give_up(self, channel: int) -> None:
        """What this channel still says no longer counts; a new one repeats what is unconfirmed."""
        if channel == self._channel:
            self.lost()
            number = self._link.number
            delay_s = self._life.random.random() * RETRY_S
            self._life.post(delay_s, lambda: self.connected() if self._link.number == number else None)

    def _check(self) -> None:
        self._life.post(CONFIRM_CHECK_S, self._check)
        now = self._life.clock.monotonic()
        if not self._window.unconfirmed() or self._broker.alarm is not None or not self._may_send():
            self._moved_at = now
        elif self._placed and now - self._moved_at > CONFIRM_TIMEOUT_S:
            self._give_up(self._channel)
