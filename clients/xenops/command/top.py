"""Top: what runs and waits, who runs it and how fast, drawn again and again at a terminal, once elsewhere."""

import argparse
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from bus.exported import Standing
from bus.ports import BusError, Entry
from schema.objects.lane import Lane, Lanes, LeasedTask, Worker
from schema.objects.task import Pending, Task
from schema.records import Finished, Progress, Refused
from schema.wire.codec import to_rpc
from schema.wire.value import Dict

from xenops.client import Client
from xenops.command.following import Following
from xenops.command.lanes import of_workers
from xenops.command.screen import Screen, Shown, Table
from xenops.log import Log

EVERY_S, EVERY_MIN_S = 1.0, 0.1
LANES = 20
"""So many are shown where no window sets a limit."""

LINES_BESIDE = 7
"""Of a frame, besides workers and lanes: what is above, headings, and one that says if there are more."""

RATE_S = 60.0
"""Tasks of so long count for the rate."""

FIRST_LOOK_S = 5.0
"""Where there is but one frame, it waits so long for the log to be read."""

MARGIN_S = 5.0
"""So much earlier the log is read, as clocks may differ."""

LANES_MAX = 10_000
BAR = 10

EPILOG = """\
Ctrl and C ends it. Without a terminal, or with --once or --json, there is one frame. Rate and running steps
are from the log, of which the last minute is read, and more where a task runs for longer; where the broker's
user may not, as without a broker, they are missing, and it is said why.
"""

Command = Callable[[str, str], argparse.ArgumentParser]


def add_top_command(command: Command) -> None:
    """Declare the command."""
    top = command("top", "watch what runs and waits, and who runs it")
    top.formatter_class = argparse.RawDescriptionHelpFormatter
    top.epilog = EPILOG
    top.add_argument(
        "--every", type=float, default=EVERY_S, metavar="SECONDS", help=f"how often (default {EVERY_S:g})"
    )
    top.add_argument(
        "--limit",
        type=int,
        metavar="LANES",
        help=f"show so many (default: as the window has room for; without one, {LANES})",
    )
    top.add_argument("--once", action="store_true", help="one frame")


class Seen:
    """What the log tells while it is followed; `on_one` and the rest are called under one lock."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[int, str]] = {}
        self._ended: deque[float] = deque()
        self.records = 0

    def on_one(self, one: Standing) -> None:
        """The next record."""
        if not isinstance(one, Entry):
            return
        self.records += 1
        match one.record:
            case Progress(task=task, token=token, atom=atom):
                self._steps[task] = (token, atom)
            case Finished(task=task):
                self._steps.pop(task, None)
                self._ended.append(one.at)
            case Refused():
                self._ended.append(one.at)
            case _:
                pass  # it tells of no step and of no end
        self._drop(one.at)

    def rate(self, now: float) -> float:
        """Tasks that ended, a second; what was merged into another has no end of its own."""
        self._drop(now)
        return len(self._ended) / RATE_S

    def step(self, leased: LeasedTask) -> str:
        """The atomic that the holder of a lease performs; "" if none is known."""
        token, atom = self._steps.get(int(leased.task), (leased.token, ""))
        return atom if token == leased.token else ""

    def _drop(self, now: float) -> None:
        while self._ended and self._ended[0] < now - RATE_S:
            self._ended.popleft()


@dataclass(frozen=True, slots=True)
class Watched:
    """A log that is followed, or why none is."""

    seen: Seen
    following: Following | None
    since: float
    trouble: str = ""


def beginning(client: Client) -> float:
    """From when on the log is of interest: the time that counts for the rate, and all that runs."""
    try:
        lanes = client.lane.list(LANES_MAX).lanes
    except BusError:
        lanes = ()
    return min((time.time() - RATE_S, *(lane.leased.since for lane in lanes if lane.leased))) - MARGIN_S


@contextmanager
def watched(open_log: Callable[[], Log], since: float) -> Iterator[Watched]:
    """Follow a log from a time on, if it can be."""
    seen = Seen()
    try:
        log = open_log()
    except BusError as error:
        yield Watched(seen, None, since, str(error))
        return
    following = Following(log, seen.on_one, since)
    try:
        yield Watched(seen, following, since)
    finally:
        following.close()


def show_top(client: Client, watching: Watched, arguments: Namespace, screen: Screen) -> None:
    """Do the command, until interrupted."""
    if arguments.once or not screen.is_live:
        if watching.following is not None:
            following = watching.following
            following.await_that(lambda: following.is_live, FIRST_LOOK_S)
        screen.show(_frame(client, watching, arguments.limit or LANES))
        return
    try:
        with screen.live() as draw:
            while True:
                draw(_frame_or_trouble(client, watching, arguments.limit or _Room(screen.height)))
                time.sleep(max(EVERY_MIN_S, arguments.every))
    except KeyboardInterrupt:
        return


@dataclass(frozen=True, slots=True)
class _Room:
    """The lines of a window, if there is one."""

    lines: int | None


Limit = int | _Room
"""How many lanes are shown."""


def _frame_or_trouble(client: Client, watching: Watched, limit: Limit) -> Shown:
    """A frame, which says so while services are out of reach: they may come back."""
    try:
        return _frame(client, watching, limit)
    except BusError as error:
        return Shown(Dict([("trouble", str(error))]), (Table(("",), ((f"{_clock()}  {error}",),)),))


def _frame(client: Client, watching: Watched, limit: Limit) -> Shown:
    lanes, workers = client.lane.list(LANES_MAX), client.worker.list()
    tasks = {task.id: task for task in client.task.list()}
    return of_instance(Instance(lanes, workers, tasks), _told(watching), _lanes(limit, len(workers)))


def _lanes(limit: Limit, workers: int) -> int:
    if not isinstance(limit, _Room):
        return limit
    return LANES if limit.lines is None else max(1, limit.lines - LINES_BESIDE - workers)


@dataclass(frozen=True, slots=True)
class Instance:
    """What services tell: lanes, workers, and tasks by their ids."""

    lanes: Lanes
    workers: tuple[Worker, ...]
    tasks: Mapping[str, Task]


@dataclass(frozen=True, slots=True)
class Told:
    """What the log tells: tasks a second, if known, the step of a task's lease, and how far it is read."""

    rate: float | None
    step: Callable[[LeasedTask], str]
    words: str


def _no_step(_leased: LeasedTask) -> str:
    return ""


def _told(watching: Watched) -> Told:
    following = watching.following
    if following is None or following.trouble:
        return Told(None, _no_step, following.trouble if following else watching.trouble)
    with following.lock:
        seen = watching.seen
        if not following.is_live:
            return Told(None, _no_step, f"the log is being read: {seen.records} records so far")
        words = f"{seen.records} records in the log since {_clock(watching.since)}"
        return Told(seen.rate(time.time()), seen.step, words)


def of_instance(instance: Instance, told: Told, limit: int) -> Shown:
    """One frame: a headline, workers, and lanes: those in which something runs first, then the longest."""
    lanes = sorted(instance.lanes.lanes, key=lambda lane: (lane.leased is None, -lane.waiting, lane.vm))
    running = sum(lane.leased is not None for lane in lanes)
    rate = "?" if told.rate is None else f"{told.rate:.1f}"
    head = f"{_clock()}  tasks: {running} running, {instance.lanes.waiting} waiting, {rate} end a second"
    rows = tuple(_row(lane, instance, told) for lane in lanes[:limit])
    more = len(lanes) - len(rows)
    workers = of_workers(instance.workers)
    tables = (
        Table(("",), ((head,), (told.words,), ("",))),
        *workers.tables,
        Table(("",), (("",),)),
        Table(("VM", "WAITING", "RUNS", "PROGRESS", "STEP", "FOR", "WORKER", "BLOCKED"), rows),
        *((Table(("",), ((f"and {more} lanes more: --limit shows them",),)),) if more else ()),
    )
    value = Dict(
        [
            ("running", running),
            ("waiting", instance.lanes.waiting),
            ("ended_per_s", told.rate),
            ("log", told.words),
            ("workers", workers.value),
            ("lanes", [_value(lane, instance, told) for lane in lanes[:limit]]),
        ]
    )
    return Shown(value, tables)


def _row(lane: Lane, instance: Instance, told: Told) -> tuple[str, ...]:
    blocked = "held" if lane.held else lane.blocked
    leased = lane.leased
    if leased is None:
        return (lane.vm, str(lane.waiting), "-", "", "", "", "", blocked)
    runs = f"{leased.task} {leased.operation}" + (", parked" if leased.parked else "")
    progress = _progress(leased.task, instance)
    bar = "" if progress is None else f"{'=' * int(progress * BAR):{BAR}} {progress:.0%}"
    for_s = f"{max(0.0, time.time() - leased.since):.1f} s"
    step = told.step(leased)
    return (lane.vm, str(lane.waiting), runs, bar, step, for_s, leased.worker, "held" if lane.held else "")


def _progress(task: str, instance: Instance) -> float | None:
    known = instance.tasks.get(task)
    return known.state.progress if known and isinstance(known.state, Pending) else None


def _value(lane: Lane, instance: Instance, told: Told) -> Dict:
    leased = lane.leased
    return Dict(
        [
            ("lane", to_rpc(Lane, lane)),
            ("progress", _progress(leased.task, instance) if leased else None),
            ("step", (told.step(leased) or None) if leased else None),
        ]
    )


def _clock(at: float | None = None) -> str:
    return datetime.fromtimestamp(time.time() if at is None else at, UTC).strftime("%H:%M:%SZ")
