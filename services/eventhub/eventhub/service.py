"""The event hub's shell: receives from the bus, asks a core for each instance, does what it says."""

import logging
import time
from concurrent.futures import Future
from functools import partial

from bus.ports import BEGINNING, Bus, Entry, Request
from bus.process import Settings
from bus.topology import events_queue
from schema.ids import InstanceName
from schema.records import Record

from eventhub.core import EventHub
from eventhub.effects import Append, Effect, Reply
from eventhub.waiting import TICK_S

_log = logging.getLogger("eventhub")


class Service:
    """All instances of one process."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._instances = [_Instance(bus, name) for name in settings.instances]

    def start(self) -> None:
        """Read the logs and serve; requests wait until the logs are read."""
        for instance in self._instances:
            instance.start()

    def stop(self) -> None:
        """Nothing to put away: all is in the log, and whoever waits asks the next event hub."""


class _Instance:
    """One instance's core at the bus; everything but `start` runs on the bus's thread."""

    def __init__(self, bus: Bus, name: InstanceName) -> None:
        self._bus = bus
        self._name = name
        self._core = EventHub()
        self._batch_is_due = False

    def start(self) -> None:
        self._bus.tail(self._name, BEGINNING, self._on_entry, self._on_live)
        self._bus.serve(events_queue(self._name), self._on_request)
        self._bus.every(TICK_S, lambda: self._perform(self._core.on_time(time.monotonic())))

    def _on_entry(self, entry: Entry) -> None:
        self._core.on_entry(entry)
        if self._core.has_news and not self._batch_is_due:
            self._batch_is_due = True
            self._bus.call_soon(self._on_batch)

    def _on_batch(self) -> None:
        self._batch_is_due = False
        self._perform(self._core.on_batch(time.monotonic()))

    def _on_live(self) -> None:
        _log.info("instance %s: the log is read, requests are answered", self._name)
        self._perform(self._core.on_live(time.monotonic()))

    def _on_request(self, request: Request) -> None:
        self._perform(self._core.on_request(request, time.monotonic()))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Reply(body, addresses):
                    for address in addresses:
                        self._bus.send(address.reply_to, Request(body, correlation_id=address.correlation_id))
                case Append(record):
                    appended = self._bus.append(self._name, record)
                    appended.add_done_callback(partial(self._on_appended, record))

    def _on_appended(self, record: Record, appended: Future[None]) -> None:
        """On the bus's thread or another."""
        error = appended.exception()
        if error is not None:
            _log.warning("instance %s: %s was not appended: %s", self._name, record.kind, error)
            reason = str(error)
            self._bus.call_soon(lambda: self._perform(self._core.on_append_failed(record, reason)))


def build(bus: Bus, settings: Settings) -> Service:
    """The event hub on a bus, not yet started."""
    return Service(bus, settings)
