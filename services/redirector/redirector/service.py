"""The redirector's shell: reads the log, stands for leadership, does what a core for each instance says."""

import logging
import time
import uuid

from bus.ports import BEGINNING, Bus, Entry, Request
from bus.process import Settings
from bus.topology import leader_queue
from schema.ids import InstanceName

from redirector.core import Redirector
from redirector.effects import Append, Effect, Notify

TICK_S = 0.5
"""How often deadlines and silent workers are looked for."""

_log = logging.getLogger("redirector")


class Service:
    """All instances of one process."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._instances = [_Instance(bus, name) for name in settings.instances]

    def start(self) -> None:
        """Read the logs and stand for leadership."""
        for instance in self._instances:
            instance.start()

    def stop(self) -> None:
        """Nothing to put away: all is in the log, and the next in line leads."""


class _Instance:
    """One instance's core at the bus; everything but `start` runs on the bus's thread."""

    def __init__(self, bus: Bus, name: InstanceName) -> None:
        self._bus = bus
        self._name = name
        self._core = Redirector(uuid.uuid4().hex)

    def start(self) -> None:
        self._bus.tail(self._name, BEGINNING, self._on_entry, self._on_live)
        self._bus.every(TICK_S, lambda: self._perform(self._core.on_time(time.time())))

    def _on_live(self) -> None:
        """Only who knows the log may stand: taking over is quick then."""
        self._bus.lead(leader_queue(self._name), self._on_leadership)

    def _on_leadership(self, held: bool) -> None:  # noqa: FBT001  the port's signature
        _log.info("instance %s: %s", self._name, "leads" if held else "leads no more")
        self._perform(self._core.on_leadership(held=held))

    def _on_entry(self, entry: Entry) -> None:
        self._perform(self._core.on_entry(entry, time.time()))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(record):
                    self._bus.append(self._name, record)
                case Notify(reply_to, notice):
                    body = notice.model_dump_json().encode()
                    self._bus.send(reply_to, Request(body, correlation_id=notice.request_id))


def build(bus: Bus, settings: Settings) -> Service:
    """The redirector on a bus, not yet started."""
    return Service(bus, settings)
