"""The redirector's shell: reads the log, stands for leadership, does what a core for each instance says."""

import logging
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from bus.collector import resting
from bus.fold import FoldOf
from bus.insist import Insistent
from bus.ports import Bus, Entry, Request
from bus.process import Settings
from bus.snapshots import packed, unpacked
from bus.topology import lanes_queue, leader_queue
from schema.ids import InstanceName
from traces import ObserverLog, Tracer

from redirector.core import Redirector
from redirector.effects import Answer, Append, Effect, Notify, Pass, Reply
from redirector.limits import Limits
from redirector.operators import Operators
from redirector.spans import with_span

TICK_S = 0.5
"""How often deadlines and silent workers are looked for."""

DEFAULT_LIMITS = Limits()

_log = logging.getLogger("redirector")


class Service:
    """All instances of one process."""

    def __init__(self, bus: Bus, settings: Settings, limits: Limits) -> None:
        self._instances = [_Instance(bus, name, limits) for name in settings.instances]

    def start(self) -> None:
        """Read the logs and stand for leadership."""
        for instance in self._instances:
            instance.start()

    def stop(self) -> None:
        """All is in the log, and the next in line leads."""
        for instance in self._instances:
            instance.stop()


class _Instance:
    """One instance's core at the bus; everything but `start` runs on the bus's thread."""

    def __init__(self, bus: Bus, name: InstanceName, limits: Limits) -> None:
        self._bus = bus
        self._name = name
        self._log = Insistent(bus, name)
        # named after its inbox: whoever reads who leads knows where to ask it
        inbox = bus.inbox(self._on_request)
        self._core = Redirector(inbox, limits, version("xenops-redirector"))
        self._operators = Operators(self._core)
        self._tells = False
        self._tracer = Tracer("xenopsd-redirector", name)
        self._observers = ObserverLog(bus, name, self._tracer)

    def start(self) -> None:
        self._observers.start()
        self._log.start()
        self._bus.undeliverable(self._on_undeliverable)
        fold = FoldOf(self._on_entry, self._on_live, self._snapshot, self._restore)
        self._bus.follow(self._name, "redirector", fold)
        self._bus.every(TICK_S, lambda: self._perform(self._core.on_time(self._bus.clock.now())))

    def stop(self) -> None:
        self._tracer.close()

    def _snapshot(self) -> Iterator[bytes]:
        return packed(self._core.snapshot())

    def _restore(self, lines: Iterable[bytes]) -> None:
        with resting():
            self._core.restore(unpacked(lines))

    def _on_live(self) -> None:
        """Only who knows the log may stand: taking over is quick then."""
        self._bus.serve(lanes_queue(self._name), self._on_request)
        self._bus.lead(leader_queue(self._name), self._on_leadership)

    def _on_leadership(self, held: bool) -> None:  # noqa: FBT001  the port's signature
        _log.info("instance %s: %s", self._name, "leads" if held else "leads no more")
        self._perform(self._core.on_leadership(held=held))

    def _on_entry(self, entry: Entry) -> None:
        self._perform(self._core.on_entry(entry, self._bus.clock.now()))
        self._perform(self._operators.on_entry(entry))
        if self._core.has_more_to_tell and not self._tells:
            self._tells = True
            self._bus.call_soon(self._tell_some)

    def _tell_some(self) -> None:
        self._perform(self._core.tell_some(self._bus.clock.now()))
        self._tells = self._core.has_more_to_tell
        if self._tells:
            self._bus.call_soon(self._tell_some)

    def _on_request(self, request: Request) -> None:
        self._perform(self._operators.on_request(request, self._bus.clock.now()))

    def _on_undeliverable(self, queue: str, request: Request) -> None:
        self._perform(self._operators.on_undeliverable(queue, request))

    def _perform(self, effects: list[Effect] | list[Answer]) -> None:
        for effect in effects:
            match effect:
                case Append(record):
                    traced = with_span(effect, self._core.lanes, self._tracer) if self._tracer.on else record
                    self._log.append(traced)
                case Notify(reply_to, notice):
                    body = notice.model_dump_json().encode()
                    self._bus.send(reply_to, Request(body, correlation_id=notice.request_id))
                case Reply(request, body) if request.reply_to is not None:
                    self._bus.send(request.reply_to, Request(body, correlation_id=request.correlation_id))
                case Reply():
                    pass  # nobody waits for an answer
                case Pass(leader, request):
                    self._bus.send(leader, request)


def build(bus: Bus, settings: Settings, limits: Limits = DEFAULT_LIMITS) -> Service:
    """The redirector on a bus, not yet started."""
    return Service(bus, settings, limits)
