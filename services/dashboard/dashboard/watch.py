"""Watch: one instance's log as it is read, and those who wait for news; all on the bus's own thread."""

import asyncio
import logging
import uuid
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from bus.fold import FoldOf
from bus.ports import Bus, BusError, Entry
from bus.quarantine import Quarantined
from bus.stories.story import State
from bus.topology import control_queue, events_queue, lanes_queue
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.objects.events import Events
from schema.objects.lane import Lanes, LaneTasks, Worker
from schema.objects.quarantine import Quarantine
from schema.overseen import Pinged
from schema.records import Record

from dashboard import pulse
from dashboard.asking import ASK_S, Asker, Shared, UnreachableError
from dashboard.fold.feed import Feed
from dashboard.fold.history import SAMPLE_S, History
from dashboard.fold.instance import InstanceFold
from dashboard.metrics import Metrics
from dashboard.notifier import Notifier

FRESH_S = 0.5
"""However many look, a service is asked the same so often."""

GLANCE_S = 1.0
"""How long a worker may take to say whether it knows a VM: what is shown does not wait for much longer."""

LANES_ASKED = 10_000
"""The redirector's own limit."""

_log = logging.getLogger("dashboard")


class Watch:
    """One instance."""

    def __init__(self, bus: Bus, name: InstanceName, metrics: Metrics) -> None:
        self.name = name
        self.bus = bus
        self.asker = Asker(bus)
        self.fold = InstanceFold()
        self.feed = Feed()
        self.history = History()
        self.pulse = pulse.Pulse()
        self.notifier = Notifier(bus)
        self.live = False
        self.passed_over = 0
        self._services: tuple[pulse.Health, ...] = ()
        self.events: Events | None = None
        self._metrics = metrics
        self._by = f"dashboard-{uuid.uuid4().hex}"
        self._looking: asyncio.Task[None] | None = None
        self._lanes = Shared(self._ask_lanes, FRESH_S)
        self._workers = Shared(self._ask_workers, FRESH_S)

    def start(self) -> None:
        """Begin to read."""
        self.bus.quarantined(self._on_quarantined)
        fold = FoldOf(self._on_entry, self._on_live, self.fold.snapshot, self.fold.restore)
        self.bus.follow(self.name, "dashboard", fold)
        self.bus.every(pulse.PING_S, self._ping)
        self.bus.every(SAMPLE_S, self._sample)

    @property
    def trouble(self) -> str:
        """Why what is shown may be an old picture; "" if it is not."""
        if lost := self.bus.broker().trouble:
            return f"there is no connection to the broker ({lost})"
        if not self.live:
            return "the log is still being read"
        return self.pulse.trouble(self.bus.clock.monotonic())

    @property
    def health(self) -> tuple[pulse.Health, ...]:
        """How the broker is now, and how the services were when they were looked at last."""
        said = {
            "redirector": self.fold.leader_version,
            "eventhub": self.events.version if self.events else "",
        }
        services = (replace(one, version=said.get(one.service, "")) for one in self._services)
        return (pulse.of_broker(self.bus.broker()), *services)

    async def lanes(self) -> Lanes:
        """What the redirector says of lanes; raises XenopsError, UnreachableError."""
        return await self._lanes.get()

    async def workers(self) -> tuple[Worker, ...]:
        """What the redirector says of workers; raises XenopsError, UnreachableError."""
        return await self._workers.get()

    def append(self, record: Record) -> "Future[None]":
        """Write a record of ours."""
        return self.bus.append(self.name, record)

    async def _ask_lanes(self) -> Lanes:
        lanes: Lanes = await self.asker.ask(
            lanes_queue(self.name), "LANE.list", debug_info="dashboard", limit=LANES_ASKED
        )
        return lanes

    async def _ask_workers(self) -> tuple[Worker, ...]:
        workers: tuple[Worker, ...] = await self.asker.ask(
            lanes_queue(self.name), "WORKER.list", debug_info="dashboard"
        )
        return workers

    def _on_entry(self, entry: Entry) -> None:
        ended = self.fold.on_entry(entry)
        self.feed.add(entry)
        if not self.live:
            return
        if ended:
            self.history.on_end(ended)
        self._metrics.on_entry(self.name, entry, ended, max(0.0, self.bus.clock.now() - entry.at))
        if isinstance(entry.record, Pinged):
            self._on_ping(entry.record, entry.offset)
        else:
            self.notifier.notify()

    def _on_live(self) -> None:
        self.live = True
        _log.info("instance %s: the log is read", self.name)
        self._ping()
        self._sample()
        self.notifier.notify()

    def _on_quarantined(self, one: Quarantined) -> None:
        if one.log == self.name:
            self.passed_over += 1
            self.notifier.notify()

    def _ping(self) -> None:
        if self.live:
            number = self.pulse.write(self.bus.clock.monotonic())
            self.append(Pinged(by=self._by, number=number)).add_done_callback(_said)

    def _on_ping(self, record: Pinged, offset: int) -> None:
        if record.by == self._by:
            self.pulse.hear(record.number, self.bus.clock.monotonic())
            if self._looking is None or self._looking.done():
                self._looking = asyncio.get_running_loop().create_task(self._look(offset))

    async def _look(self, offset: int) -> None:
        """How the others do, now that a word of ours stands at an offset."""
        before = {health.service: health.state for health in self._services}
        now = self.bus.clock.now()
        seen = self.fold.workers.all()
        hub, redirector = await asyncio.gather(self._look_at_hub(offset), self._look_at_redirector())
        self._services = (redirector, hub, pulse.of_workers(seen, now))
        if before != {health.service: health.state for health in self._services}:
            self.notifier.notify()

    async def _look_at_hub(self, offset: int) -> pulse.Health:
        begun = self.bus.clock.monotonic()
        try:
            await self._ask_hub("Task.stat", id=str(offset))
        except XenopsError:
            pass  # no task stands there: it has said so
        except UnreachableError as error:
            return pulse.Health("eventhub", "out", str(error))
        took_s = self.bus.clock.monotonic() - begun
        try:
            self.events = await self.ask_events()
        except (XenopsError, UnreachableError):
            self.events = None
        return pulse.of_hub(took_s)

    async def _look_at_redirector(self) -> pulse.Health:
        begun = self.bus.clock.monotonic()
        try:
            told = await self._ask_workers()
        except (XenopsError, UnreachableError) as error:
            return pulse.Health("redirector", "out", str(error))
        took_s = self.bus.clock.monotonic() - begun
        return pulse.of_redirector(told, self.fold.workers.all(), took_s, self.bus.clock.now())

    def _sample(self) -> None:
        if self.live:
            tasks = self.fold.tasks
            waiting, running = tasks.count(State.WAITING), tasks.count(State.RUNNING, State.PARKED)
            self.history.sample(self.bus.clock.now(), waiting=waiting, running=running)

    async def diagnostics(self) -> str:
        """The original's report, as JSON; raises XenopsError, UnreachableError."""
        report: str = await self._ask_hub("get_diagnostics", timeout_s=2 * ASK_S, unit=None)
        return report

    async def ask_events(self) -> Events:
        """How far the event hub is, and who waits there; raises XenopsError, UnreachableError."""
        events: Events = await self._ask_hub("EVENTS.stat")
        return events

    async def quarantine(self) -> Quarantine:
        """What no service takes; raises XenopsError, UnreachableError."""
        quarantine: Quarantine = await self._ask_hub("QUARANTINE.list")
        return quarantine

    async def lane(self, vm: str) -> LaneTasks:
        """One lane as the redirector has it; raises XenopsError, UnreachableError."""
        lane: LaneTasks = await self.asker.ask(
            lanes_queue(self.name), "LANE.stat", debug_info="dashboard", id=vm
        )
        return lane

    async def has_vm(self, vm: str) -> bool:
        """Whether a worker knows a VM; where none says so, it may."""
        try:
            known: bool = await self.asker.ask(
                control_queue(self.name), "VM.exists", timeout_s=GLANCE_S, debug_info="dashboard", id=vm
            )
        except (UnreachableError, XenopsError):
            return True
        return known

    async def _ask_hub(self, method: str, timeout_s: float = ASK_S, **params: Any) -> Any:
        queue = events_queue(self.name)
        return await self.asker.ask(queue, method, timeout_s=timeout_s, debug_info="dashboard", **params)


def _said(appended: "Future[None]") -> None:
    error = appended.exception()
    if isinstance(error, BusError):
        _log.warning("a word of ours was not written: %s", error)
