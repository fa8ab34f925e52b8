"""The frontend's shell: serves the instances' doors on the bus, does what a core for each instance says."""

import logging
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import count

from bus.ports import Bus, BusError, LostError, Request, UndeliveredError
from bus.topology import door_queue
from bus.trouble import report
from pydantic import TypeAdapter, ValidationError
from schema import rpc
from schema.ids import InstanceName
from schema.notices import Notice, Rejected
from schema.objects.errors import InternalError
from schema.records import Submitted
from traces import ObserverLog, Tracer

from frontend.core import Append, Effect, Forward, Frontend
from frontend.doors import CALL_TIMEOUT_S, OpenDoors, answer_of
from frontend.routes import is_harmless
from frontend.settings import Settings
from frontend.spans import RequestSpans

TICK_S = 0.5
"""How often requests are looked for that nobody has accepted, or that came back."""

_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)
_log = logging.getLogger("frontend")


OnAnswer = Callable[[bytes], None]


class _Here(str):
    """A reply address that is none on the bus: who asks is at a door of this process."""

    __slots__ = ()


class Service:
    """All instances of one process."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        """Bind the doors; raises `DoorError` when one cannot be."""
        self._instances = {name: _Instance(bus, name) for name in settings.instances}
        self._doors = OpenDoors(bus, settings.doors, settings.instances, self.ask)

    def start(self) -> None:
        """Open the doors."""
        for instance in self._instances.values():
            instance.start()
        self._doors.open()

    def stop(self) -> None:
        """Whoever waits asks the next frontend."""
        self._doors.close()
        for instance in self._instances.values():
            instance.stop()

    def ask(self, instance: str, question: Request, on_answer: OnAnswer) -> None:
        """A request from a door of this process to an instance of ours; it is answered once."""
        self._instances[InstanceName(instance)].ask(question, on_answer)


class _Instance:
    """One instance's core at the bus; everything but `start` runs on the bus's thread."""

    def __init__(self, bus: Bus, name: InstanceName) -> None:
        self._bus = bus
        self._name = name
        self._core = Frontend(name, bus.inbox(self._on_notice))
        self._spans = RequestSpans(Tracer("xenopsd-frontend", name), name)
        self._observers = ObserverLog(bus, name, self._spans.tracer)
        self._asking: dict[str, OnAnswer] = {}
        self._numbers = count()
        self._life = uuid.uuid4().hex  # with a number, nobody else's request has that id

    def start(self) -> None:
        self._observers.start()
        self._bus.undeliverable(self._on_undeliverable)
        self._bus.serve(door_queue(self._name), self._on_request)
        self._bus.every(TICK_S, lambda: self._perform(self._core.on_time(self._bus.clock.now())))
        _log.info("instance %s: the door is open", self._name)

    def stop(self) -> None:
        self._spans.tracer.close()

    def ask(self, question: Request, on_answer: OnAnswer) -> None:
        """A request from a door of this process; it is answered once."""
        place = _Here(next(self._numbers))
        self._asking[place] = on_answer
        try:
            self._on_request(replace(question, reply_to=place))
        except Exception as error:  # noqa: BLE001  a bug must leave nobody waiting at his door
            report(error)
            sentence = f"{type(error).__name__}: {error}"
            self._answer(place, rpc.encode_failure(InternalError(message=sentence)))

    def _on_request(self, request: Request) -> None:
        request_id = f"{self._life}.{next(self._numbers):x}"
        self._perform(self._core.on_request(request, request_id, self._bus.clock.now()))

    def _on_undeliverable(self, queue: str, request: Request) -> None:
        self._perform(self._core.on_undeliverable(queue, request, self._bus.clock.now()))

    def _on_notice(self, message: Request) -> None:
        try:
            notice = _NOTICE.validate_json(message.body)
        except ValidationError:
            self._on_told(message)
            return
        self._spans.end(notice.request_id, notice.error if isinstance(notice, Rejected) else None)
        self._perform(self._core.on_notice(notice))

    def _on_told(self, message: Request) -> None:
        """What an event hub answers us."""
        try:
            effects = self._core.on_answer(message.correlation_id or "", message.body)
        except rpc.ResponseError:
            _log.warning("instance %s: a message to the inbox is neither notice nor answer", self._name)
            return
        self._perform(effects)

    def _perform(self, effects: list[Effect]) -> None:
        if self._spans.tracer.on:
            effects = [self._spans.around(effect) for effect in effects]
        for effect in effects:
            match effect:
                case Append(record):
                    appended = self._bus.append(self._name, record)
                    appended.add_done_callback(partial(self._on_appended, record))
                case Forward(queue, request) if isinstance(queue, _Here):
                    self._answer(queue, request.body)
                case Forward(queue, request) if isinstance(request.reply_to, _Here):
                    answered = partial(self._on_answer, queue, request)
                    self._bus.ask(queue, request, CALL_TIMEOUT_S, answered)
                case Forward(queue, request):
                    self._bus.send(queue, request)

    def _on_answer(self, queue: str, request: Request, outcome: bytes | BusError) -> None:
        """What a service says to one at a door."""
        if isinstance(outcome, UndeliveredError) or (
            isinstance(outcome, LostError) and is_harmless(request.body)
        ):
            self._on_undeliverable(queue, request)
        else:
            self._answer(request.reply_to or "", answer_of(outcome))

    def _answer(self, place: str, body: bytes) -> None:
        """The first answer counts."""
        on_answer = self._asking.pop(place, None)
        if on_answer is not None:
            on_answer(body)

    def _on_appended(self, record: Submitted, appended: Future[None]) -> None:
        """On the bus's thread or another."""
        error = appended.exception()
        if error is not None:
            reason = str(error)
            self._spans.end(record.request_id, reason)
            self._bus.call_soon(lambda: self._perform(self._core.on_append_failed(record, reason)))


def build(bus: Bus, settings: Settings) -> Service:
    """The frontend on a bus, not yet started."""
    return Service(bus, settings)
