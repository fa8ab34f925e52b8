"""Publisher: appends to logs, confirmed, in order, each record once for every reader."""

import concurrent.futures
import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass

import pika
from pika.channel import Channel
from schema.ids import InstanceName
from schema.records import ENVELOPE, Record
from typing_extensions import override

from bus.loop import Loop
from bus.ports import BusBlockedError, BusError, BusUnavailableError
from bus.rabbit.connection import ChannelOwner
from bus.rabbit.constants import CONFIRM_CHECK_S, CONFIRM_TIMEOUT_S
from bus.rabbit.stream import Logs
from bus.stamp import Stamp
from bus.topology import EXCHANGE, routing_key
from bus.window import Window

_log = logging.getLogger("bus")


@dataclass(frozen=True, slots=True)
class Signature:
    """Who writes: what stands on each record, the user too, whom the broker checks."""

    name: str
    user: str | None


class Publisher(ChannelOwner):
    """Holds the window of what is unconfirmed; each new channel sends it again from its first record on.

    It sends nothing while a reader beside it does not know its log again: what was decided by one log must
    not stand in another.
    """

    def __init__(
        self, loop: Loop, signature: Signature, instances: tuple[InstanceName, ...], logs: Logs
    ) -> None:
        super().__init__()
        self._loop = loop
        self._logs = logs
        self._instances = set(instances)
        self._undeclared: set[InstanceName] = set()
        self._stamp = Stamp(f"{signature.name}-{uuid.uuid4().hex}")
        self._user = signature.user
        self._window = Window()
        self._channels = 0
        self._lock = threading.Lock()
        self._flushing = False
        self._moved_at = 0.0
        self._closed = False
        self._knows: list[Callable[[], bool]] = []
        loop.soon(lambda: loop.every(CONFIRM_CHECK_S, self._check_deadline))

    # --- from any thread ----------------------------------------------------------------------------

    def append(self, instance: InstanceName, records: tuple[Record, ...]) -> Future[None]:
        """Take records for sending; the future ends when the last of them is confirmed."""
        future: Future[None] = Future()
        if instance not in self._instances:
            self._loop.soon(lambda: self._add_instance(instance))
        try:
            with self._lock:
                self._admit(len(records))
                self._accept(instance, records, future)
                must_wake, self._flushing = not self._flushing, True
        except BusError as error:
            future.set_exception(error)
            return future
        if must_wake:
            self._loop.soon(self._flush)
        return future

    def drain(self, timeout_s: float) -> None:
        """Take nothing more; wait until all that was taken is confirmed, if it can be sent at all."""
        with self._lock:
            self._closed = True
            waiting = self._window.waiting()
        if self.is_ready and not self._loop.is_here():
            concurrent.futures.wait(waiting, timeout_s)

    def abandon(self) -> None:
        """Nothing will be sent any more."""
        with self._lock:
            futures = self._window.abandon()
        for future in futures:
            _end(
                future, BusUnavailableError("the bus was closed before the broker had confirmed this append")
            )

    def _admit(self, count: int) -> None:
        if self._closed:
            raise BusUnavailableError("append to a bus that is closed")
        if self.blocked is not None:
            raise BusBlockedError(
                f"the broker takes no records for now ({self.blocked}): free memory or disk on its host; "
                "what it had taken before is kept"
            )
        self._window.admit(count)

    def _accept(self, instance: InstanceName, records: tuple[Record, ...], future: Future[None]) -> None:
        envelopes = self._stamp.envelopes(instance, records, time.time())
        parcels = [
            (routing_key(instance, envelope.record), ENVELOPE.dump_json(envelope)) for envelope in envelopes
        ]
        self._window.accept(parcels, future, instance)
        self._stamp.take(instance, len(records))

    # --- on the loop's thread -----------------------------------------------------------------------

    def heed(self, knows: Callable[[], bool]) -> None:
        """Send only while a reader knows its log; whoever comes to know it calls `go_on`."""
        self._knows.append(knows)

    def go_on(self) -> None:
        """Send what waits, if it may be sent now."""
        self._flush()

    @override
    def set_up(self, channel: Channel) -> None:
        self._undeclared = set(self._instances)
        for instance in self._instances:
            declared = functools.partial(self._declared, channel, instance)
            self._logs.declare(channel, instance, declared)
        if not self._instances:
            self._begin(channel)

    def _add_instance(self, instance: InstanceName) -> None:
        """Another log to write to: the channel is given up for one that begins by declaring it."""
        if instance not in self._instances:
            self._instances.add(instance)
            self._give_up(None)

    def _declared(self, channel: Channel, instance: InstanceName) -> None:
        self._undeclared.discard(instance)
        if not self._undeclared:
            self._begin(channel)

    def _begin(self, channel: Channel) -> None:
        channel.add_on_return_callback(lambda *_: self._give_up("a record found no log to go to"))
        channel.confirm_delivery(self._on_confirm)
        with self._lock:
            self._window.restart()
        self._channels += 1
        self._moved_at = time.monotonic()
        self.mark_ready()
        self._flush()

    def _flush(self) -> None:
        channel = self._channel
        with self._lock:
            self._flushing = False
            if not self.is_ready or channel is None or not channel.is_open or not self._may_send():
                return
            parcels = self._window.to_send()
            properties = {log: self._properties(log) for log in {parcel.log for parcel in parcels}}
        for parcel in parcels:
            signed = properties[parcel.log]
            channel.basic_publish(EXCHANGE, parcel.routing_key, parcel.body, signed, mandatory=True)

    def _may_send(self) -> bool:
        return all(knows() for knows in self._knows)

    def _properties(self, log: str) -> pika.BasicProperties:
        """What stands on records to a log: by whom, and as `message_id` up to which number it has ours.

        Readers need that of a log whose end the broker has lost, or that it has lost and made anew. The
        channel's number tells a record from itself, sent again: in such a log it may come to stand where it
        stood, behind others than before.
        """
        return pika.BasicProperties(
            delivery_mode=pika.DeliveryMode.Persistent.value,
            user_id=self._user,
            message_id=str(self._window.settled(log)),
            correlation_id=str(self._channels),
        )

    def _on_confirm(self, frame: "pika.frame.Method[pika.spec.Basic.Ack | pika.spec.Basic.Nack]") -> None:
        if not self.is_ready:
            return  # of a channel that was given up
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            self._give_up("the broker could not write a record")
            return
        with self._lock:
            front = self._window.front
            released = self._window.confirm(frame.method.delivery_tag, multiple=frame.method.multiple)
            if self._window.front != front:
                self._moved_at = time.monotonic()
        for future in released:
            _end(future, None)

    def _check_deadline(self) -> None:
        with self._lock:
            waiting = self._window.unconfirmed()
        if not waiting or self.blocked is not None or not self._may_send():
            self._moved_at = time.monotonic()
        elif self.is_ready and time.monotonic() - self._moved_at > CONFIRM_TIMEOUT_S:
            self._give_up(f"the first record was not confirmed for {CONFIRM_TIMEOUT_S:g} s")

    def _give_up(self, reason: str | None) -> None:
        """Whatever this channel still says no longer counts; a new one repeats what is unconfirmed."""
        if reason is not None and self.is_ready:
            _log.warning("%s; all that is unconfirmed is sent again", reason)
        self.is_ready = False
        if self._channel is not None and self._channel.is_open:
            self._channel.close()


def _end(future: Future[None], error: BusError | None) -> None:
    try:
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
    except InvalidStateError:
        return  # its owner has cancelled it
