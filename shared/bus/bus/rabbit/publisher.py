"""Publisher: appends to logs, confirmed, in order, each record once for every reader."""

import itertools
import threading
import time
import uuid
from concurrent.futures import Future, InvalidStateError

import pika
from pika.channel import Channel
from schema.ids import InstanceName
from schema.records import ENVELOPE, Envelope, Record

from bus.ports import BusBlockedError, BusError, BusUnavailableError
from bus.rabbit.constants import CONFIRM_TIMEOUT_S
from bus.rabbit.loop import Loop
from bus.topology import EXCHANGE, routing_key
from bus.window import Window

_PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Publisher:
    """Holds the window of what is unconfirmed; each new channel sends it again from its first record on."""

    def __init__(self, loop: Loop, name: str) -> None:
        self._loop = loop
        self._producer = f"{name}-{uuid.uuid4().hex}"
        self._window = Window()
        self._lock = threading.Lock()
        self._seq = itertools.count(1)
        self._channel: Channel | None = None
        self._moved_at = 0.0
        self.blocked: str | None = None
        self.closed = False
        self._flushing = False

    def append(self, instance: InstanceName, records: tuple[Record, ...]) -> Future[None]:
        """Take records for sending; from any thread."""
        future: Future[None] = Future()
        with self._lock:
            try:
                self._refuse_if_needed()
                self._window.accept([self._parcel(instance, record) for record in records], future)
            except BusError as error:
                future.set_exception(error)
                return future
            must_wake = not self._flushing
            self._flushing = True
        if must_wake:
            self._loop.soon(self._flush)
        return future

    def _refuse_if_needed(self) -> None:
        if self.closed:
            raise BusUnavailableError("append to a bus that is closed")
        if self.blocked is not None:
            raise BusBlockedError(
                f"the broker takes no records for now ({self.blocked}): free memory or disk on its host; "
                "what it had taken before is kept"
            )

    def _parcel(self, instance: InstanceName, record: Record) -> tuple[str, bytes]:
        envelope = Envelope(
            producer=self._producer, seq=next(self._seq), at=time.time(), instance=instance, record=record
        )
        return routing_key(instance, record), ENVELOPE.dump_json(envelope)

    def use(self, channel: Channel) -> None:
        """Send over this channel from now on, everything unconfirmed first. Closed, it is replaced."""
        self._channel = channel
        channel.add_on_return_callback(lambda *_: self._abandon_channel())
        channel.confirm_delivery(self._on_confirm)
        with self._lock:
            self._window.restart()
        self._moved_at = time.monotonic()
        self._flush()

    def lose_channel(self) -> None:
        """The channel is gone; records wait for the next one."""
        self._channel = None

    def check_deadline(self) -> None:
        """Give a channel up whose confirms do not come."""
        with self._lock:
            waiting = self._window.unconfirmed()
        if not waiting or self.blocked is not None:
            self._moved_at = time.monotonic()
        elif time.monotonic() - self._moved_at > CONFIRM_TIMEOUT_S:
            self._abandon_channel()

    def unconfirmed(self) -> int:
        """How many records wait."""
        with self._lock:
            return self._window.unconfirmed()

    def abandon(self, error: BusError) -> None:
        """Nothing will be sent any more."""
        with self._lock:
            self.closed = True
            futures = self._window.abandon()
        for future in futures:
            _end(future, error)

    def _flush(self) -> None:
        with self._lock:
            self._flushing = False
            if self._channel is None:
                return
            parcels = self._window.to_send()
        for parcel in parcels:
            self._channel.basic_publish(
                EXCHANGE, parcel.routing_key, parcel.body, _PERSISTENT, mandatory=True
            )

    def _on_confirm(self, frame: "pika.frame.Method[pika.spec.Basic.Ack | pika.spec.Basic.Nack]") -> None:
        if self._channel is None or frame.channel_number != self._channel.channel_number:
            return  # of a channel that was given up
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            self._abandon_channel()
            return
        self._moved_at = time.monotonic()
        with self._lock:
            released = self._window.confirm(frame.method.delivery_tag, multiple=frame.method.multiple)
        for future in released:
            _end(future, None)

    def _abandon_channel(self) -> None:
        """Whatever this channel still says no longer counts; a new one repeats what is unconfirmed."""
        channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()


def _end(future: Future[None], error: BusError | None) -> None:
    try:
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
    except InvalidStateError:
        return  # its owner has cancelled it
