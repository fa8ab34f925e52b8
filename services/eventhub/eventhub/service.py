"""The event hub's shell: receives from the bus, asks a core for each instance, does what it says."""

import logging
from concurrent.futures import Future
from functools import cache, partial
from importlib.metadata import version

from bus.fold import FoldOf
from bus.ports import Bus, BusError, Entry, Request
from bus.process import Settings
from bus.quarantine import Quarantined
from bus.topology import control_queue, events_queue, observers_log
from schema.ids import InstanceName
from schema.records import Record
from traces import ObserverLog, Tracer

from eventhub.core import EventHub
from eventhub.effects import Append, Ask, Effect, Reply
from eventhub.spans import HubSpans
from eventhub.waiting import TICK_S

TIMER_S = 0.001
"""How exactly the bus's timers are; what is due sooner is not waited for any better."""

WORKER_WAIT_S = 5.0
"""How long a worker may take for its part of an answer: the rest is told without it."""

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
        """All is in the log, and whoever waits asks the next event hub."""
        for instance in self._instances:
            instance.stop()


class _Instance:
    """One instance's core at the bus; everything but `start` runs on the bus's thread."""

    def __init__(self, bus: Bus, name: InstanceName) -> None:
        self._bus = bus
        self._name = name
        self._core = EventHub(_own_version())
        self._batch_is_due = False
        self._pauses = False
        self._spans = HubSpans(Tracer("xenopsd-eventhub", name))
        self._observers = ObserverLog(bus, name, self._spans.tracer)

    def start(self) -> None:
        self._bus.quarantined(self._on_quarantined)
        self._observers.start()
        fold = FoldOf(self._on_entry, self._on_live, self._core.snapshot, self._core.restore)
        self._bus.follow(self._name, "eventhub", fold)
        self._bus.serve(events_queue(self._name), self._on_request)
        self._bus.every(TICK_S, self._on_time)

    def stop(self) -> None:
        self._spans.tracer.close()

    def _on_entry(self, entry: Entry) -> None:
        self._core.on_entry(entry)
        if self._spans.tracer.on and self._core.is_live:
            self._spans.read(entry)
        self._tell_when_due()

    def _on_quarantined(self, one: Quarantined) -> None:
        if one.log in (self._name, observers_log(self._name)):
            self._core.on_quarantined(one)

    def _tell_when_due(self) -> None:
        due_s = self._core.due_s(self._bus.clock.monotonic())
        if due_s is None:
            return
        if due_s > 0 and not self._pauses:
            self._pauses = True
            self._bus.later(max(due_s, TIMER_S), self._on_pause_over)
        elif due_s == 0 and not self._batch_is_due:
            self._batch_is_due = True
            self._bus.call_soon(self._on_batch)

    def _on_pause_over(self) -> None:
        self._pauses = False
        self._tell_when_due()

    def _on_time(self) -> None:
        self._look_at_log()
        self._perform(self._core.on_time(self._bus.clock.monotonic()))

    def _look_at_log(self) -> None:
        """What is asked is answered by a log that may have been lost a moment ago."""
        self._core.on_log(sure=self._bus.is_sure_of(self._name))

    def _on_batch(self) -> None:
        self._batch_is_due = False
        self._look_at_log()
        self._perform(self._core.on_batch(self._bus.clock.monotonic()))
        self._spans.told()

    def _on_live(self) -> None:
        _log.info("instance %s: the log is read, requests are answered", self._name)
        self._perform(self._core.on_live(self._bus.clock.monotonic()))

    def _on_request(self, request: Request) -> None:
        self._look_at_log()
        if self._spans.tracer.on:
            self._spans.asked(request)
        self._perform(self._core.on_request(request, self._bus.clock.monotonic()))
        self._tell_when_due()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Reply(body, addresses):
                    for address in addresses:
                        self._spans.answered(address, body)
                        self._bus.send(address.reply_to, Request(body, correlation_id=address.correlation_id))
                case Append(record, before):
                    appended = self._bus.append(self._name, *before, record)
                    appended.add_done_callback(partial(self._on_appended, record))
                case Ask(number, body):
                    answered = partial(self._on_worker_answer, number)
                    self._bus.ask(control_queue(self._name), Request(body), WORKER_WAIT_S, answered)

    def _on_worker_answer(self, number: int, outcome: bytes | BusError) -> None:
        answer = None if isinstance(outcome, BusError) else outcome
        self._perform(self._core.on_worker_answer(number, answer))

    def _on_appended(self, record: Record, appended: Future[None]) -> None:
        """On the bus's thread or another."""
        error = appended.exception()
        if error is not None:
            _log.warning("instance %s: %s was not appended: %s", self._name, record.kind, error)
            reason = str(error)
            self._bus.call_soon(lambda: self._perform(self._core.on_append_failed(record, reason)))


@cache
def _own_version() -> str:
    """Of this distribution, as it is installed."""
    return version("xenops-eventhub")


def build(bus: Bus, settings: Settings) -> Service:
    """The event hub on a bus, not yet started."""
    return Service(bus, settings)
