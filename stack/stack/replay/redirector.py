"""The redirector in a replay: as one that does not lead, and, for what is done, as whoever led then."""

from collections.abc import Iterator

from bus.ports import Entry
from bus.quarantine import Quarantined
from redirector.core import Redirector
from redirector.effects import Append, Effect, Notify
from redirector.lane import Lane, Waiting
from redirector.workers import Worker
from schema.records import Elected
from typing_extensions import override

from stack.replay.subject import Subject, time_of, words_of


class RedirectorSubject(Subject):
    """Lanes, workers, who leads. What a leader decides by the clock alone, as on silence, is not shown."""

    def __init__(self, *, leads: bool) -> None:
        self._core = Redirector("")
        self._leader = Redirector("") if leads else None

    @override
    def on_entry(self, entry: Entry) -> Iterator[str]:
        self._core.on_entry(entry, entry.at)
        if self._leader is None:
            return
        if isinstance(entry.record, Elected):
            self._leader.name = entry.record.redirector
        yield from map(_words, self._leader.on_entry(entry, entry.at))

    @override
    def on_quarantined(self, one: Quarantined) -> None:
        """It passes that over."""

    @override
    def state(self) -> Iterator[str]:
        fold = self._core.fold
        yield f"term {fold.term}, leader {fold.leader or 'nobody yet'}"
        yield from map(_worker, fold.workers.all())
        yield f"{len(fold.lanes)} tasks wait in {fold.lanes.count()} lanes"
        for lane in fold.lanes.all():
            yield self._lane(lane)
            yield from (_waiting(task) for task in lane.in_order())
        for task, leader in fold.followers.items():
            yield f"task {task} ends with task {leader}"
        for task, (first, vm) in fold.repeats.items():
            yield f"task {task} of {vm} repeats the request of task {first}, and is to be refused"
        for task, vm in fold.cancels.items():
            yield f"task {task} of {vm} is to be cancelled"

    def _lane(self, lane: Lane) -> str:
        said = f"lane {lane.vm}: {len(lane.tasks)} wait{', held' if lane.held else ''}"
        found = None if lane.leased is None else self._core.workers.lease_of(lane.leased)
        if lane.running is None or found is None:
            return said
        worker, lease = found
        parked = ", parked" if lease.task in worker.parked else ""
        what = f"task {lease.task} {lane.running.brief.name}"
        return f"{said}; {what} runs on {worker.name}, lease {lease.token}{parked}"


def _words(effect: Effect) -> str:
    match effect:
        case Append(record):
            return f"appends {words_of(record)}"
        case Notify(reply_to, notice):
            return f"tells {reply_to}: {notice.model_dump_json()}"


def _worker(worker: Worker) -> str:
    is_up = "up" if worker.up else "down"
    draining = ", draining" if worker.draining else ""
    tasks = ", ".join(f"task {task}" for task in worker.leases) or "no task"
    return (
        f"worker {worker.name}: {is_up}{draining}, {worker.busy} of {worker.capacity} places taken, {tasks}"
    )


def _waiting(task: Waiting) -> str:
    deadline = "" if task.deadline is None else f", deadline {time_of(task.deadline)}"
    priority = f", priority {task.priority}" if task.priority else ""
    return f"  task {task.id} {task.brief.name}, since {time_of(task.since)}{priority}{deadline}"
