"""The frontend's shell: serves the instances' doors on the bus, does what a core for each instance says."""

import logging
import time
import uuid
from concurrent.futures import Future
from functools import partial

from bus.ports import Bus, Request
from bus.process import Settings
from bus.topology import door_queue
from pydantic import TypeAdapter, ValidationError
from schema.ids import InstanceName
from schema.notices import Notice
from schema.records import Submitted

from frontend.core import Append, Effect, Forward, Frontend

TICK_S = 0.5
"""How often requests are looked for that nobody has accepted."""

_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)
_log = logging.getLogger("frontend")


class Service:
    """All instances of one process."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._instances = [_Instance(bus, name) for name in settings.instances]

    def start(self) -> None:
        """Open the doors."""
        for instance in self._instances:
            instance.start()

    def stop(self) -> None:
        """Nothing to put away: whoever waits asks the next frontend."""


class _Instance:
    """One instance's core at the bus; everything but `start` runs on the bus's thread."""

    def __init__(self, bus: Bus, name: InstanceName) -> None:
        self._bus = bus
        self._name = name
        self._core = Frontend(name, bus.inbox(self._on_notice))

    def start(self) -> None:
        self._bus.undeliverable(
            lambda queue, request: self._perform(self._core.on_undeliverable(queue, request))
        )
        self._bus.serve(door_queue(self._name), self._on_request)
        self._bus.every(TICK_S, lambda: self._perform(self._core.on_time(time.time())))
        _log.info("instance %s: the door is open", self._name)

    def _on_request(self, request: Request) -> None:
        self._perform(self._core.on_request(request, uuid.uuid4().hex, time.time()))

    def _on_undeliverable(self, queue: str, request: Request) -> None:
        self._perform(self._core.on_undeliverable(queue, request))

    def _on_notice(self, message: Request) -> None:
        try:
            notice = _NOTICE.validate_json(message.body)
        except ValidationError:
            _log.warning("instance %s: a message to the inbox is no notice", self._name)
            return
        self._perform(self._core.on_notice(notice))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(record):
                    appended = self._bus.append(self._name, record)
                    appended.add_done_callback(partial(self._on_appended, record))
                case Forward(queue, request):
                    self._bus.send(queue, request)

    def _on_appended(self, record: Submitted, appended: Future[None]) -> None:
        """On the bus's thread or another."""
        error = appended.exception()
        if error is not None:
            reason = str(error)
            self._bus.call_soon(lambda: self._perform(self._core.on_append_failed(record, reason)))


def build(bus: Bus, settings: Settings) -> Service:
    """The frontend on a bus, not yet started."""
    return Service(bus, settings)
