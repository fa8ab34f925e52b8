"""A worker in a replay: its leases, what waits, and what it does on each entry."""

from collections.abc import Iterator

from bus.ports import Entry
from bus.quarantine import Quarantined
from engine.worker.core import (
    Append,
    Cancel,
    Compare,
    Effect,
    Fence,
    Forget,
    Offer,
    Run,
    TakeOver,
    TellAll,
    WorkerCore,
)
from engine.worker.snapshot import decoded
from schema.ids import WorkerName
from schema.records import Submitted, WorkerUp
from typing_extensions import override

from stack.replay.subject import Subject, time_of, words_of


class WorkerSubject(Subject):
    """One worker of the log; with `acts`, as if it had lived all along, in the life that was up last."""

    def __init__(self, name: WorkerName, *, acts: bool) -> None:
        self._core = WorkerCore(name, epoch="", capacity=0, live=acts)

    @override
    def on_entry(self, entry: Entry) -> Iterator[str]:
        record = entry.record
        if isinstance(record, WorkerUp) and record.worker == self._core.name:
            self._core.epoch, self._core.capacity = record.epoch, record.capacity
        yield from map(_words, self._core.on_entry(entry))

    @override
    def on_quarantined(self, one: Quarantined) -> None:
        """It passes that over."""

    @override
    def state(self) -> Iterator[str]:
        core, state = self._core, decoded(self._core.snapshot())
        life = f"epoch {core.epoch or 'none yet'}, {core.capacity} places"
        yield f"worker {core.name}: {life}, term {state.term}"
        yield f"{len(state.leases)} leases"
        for task, lease in state.leases.items():
            submitted = state.submitted.get(task)
            what = "of which no more is known" if submitted is None else _operation(submitted)
            until = f", parked until {time_of(state.parked[task])}" if task in state.parked else ""
            cancelled = ", to be cancelled" if task in state.cancelled else ""
            yield f"  task {task} {what}, lease {lease.token}{until}{cancelled}"
        others = {task: one for task, one in state.submitted.items() if task not in state.leases}
        yield f"{len(others)} tasks wait, or are others'"
        for task, submitted in others.items():
            yield f"  task {task} {_operation(submitted)}"


def _operation(submitted: Submitted) -> str:
    return f"{submitted.operation.kind} of {submitted.vm}"


def _words(effect: Effect) -> str:
    match effect:
        case Append(record):
            return f"appends {words_of(record)}"
        case Run(lease, cancelled, until):
            waits = "" if until is None else f", not before {time_of(until)}"
            stops = ", to be cancelled" if cancelled else ""
            return f"runs task {lease.task}, lease {lease.token}{waits}{stops}"
        case Cancel(task):
            return f"cancels task {task}"
        case Fence(task):
            return f"stops whatever still runs of task {task}"
        case Offer(offer):
            return f"offers a channel for {offer.vm} to who receives it"
        case Forget(vm):
            return f"forgets what was noted of {vm}"
        case Compare(finished):
            return f"compares its journal with the end of task {finished.task}"
        case TakeOver(finished):
            return f"looks whether another worker left task {finished.task} half done"
        case TellAll():
            return "tells clients of every VM that its host has"
