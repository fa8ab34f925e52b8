"""History: the log as the test reads it, what clients were promised, and the verdict on both."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bus.ports import BEGINNING, Entry
from bus.rabbit import RabbitBus
from schema.ids import InstanceName, TaskId, Term, VmId
from schema.records import Elected, Failed, Finished, Leased, Merged, Refused, Submitted, is_void

ONCE = {
    "vm-pre-start": ("VM_start", "VM_reboot"),
    "vm-pre-reboot": ("VM_reboot",),
    "vm-pre-suspend": ("VM_suspend",),
    "vm-pre-resume": ("VM_resume",),
    "vm-pre-migrate": ("VM_migrate",),
}
"""Hooks, and which operations run each of them, once."""

OF_A_REBOOT = ("vm-pre-reboot", "vm-pre-start")
"""Hooks that run again when a worker has died and its VM's domain still asks for a reboot: it gets one."""


class History:
    """All entries of an instance's log, as they come."""

    def __init__(self, url: str, instance: InstanceName) -> None:
        self.entries: list[Entry] = []
        self._more = threading.Condition()
        self._bus = RabbitBus(url, "history")
        self._bus.tail(instance, BEGINNING, self._on_entry, lambda: None)

    def _on_entry(self, entry: Entry) -> None:
        with self._more:
            self.entries.append(entry)
            self._more.notify_all()

    def wait(self, holds: Callable[[list[Entry]], bool], patience_s: float) -> bool:
        """Whether it comes to hold of all entries."""
        with self._more:
            return self._more.wait_for(lambda: holds(self.entries), patience_s)

    def close(self) -> None:
        """Read no more."""
        self._bus.close()


@dataclass(frozen=True, slots=True)
class Promise:
    """A task that a client was told is accepted; and, once told, whether it succeeded."""

    task: TaskId
    vm: str
    succeeded: bool | None = None


@dataclass(slots=True)
class Tale:
    """What a log says of its tasks."""

    submitted: dict[TaskId, Submitted] = field(default_factory=dict)
    refused: set[TaskId] = field(default_factory=set)
    ended: dict[TaskId, Finished] = field(default_factory=dict)
    leased: dict[TaskId, int] = field(default_factory=dict)
    overlaps: list[str] = field(default_factory=list)
    """Leases given while the VM had another, or of a task that had ended or was leased before."""

    def open(self) -> set[TaskId]:
        """Tasks that are accepted and have not ended."""
        return set(self.submitted) - self.refused - set(self.ended)

    def repeated(self) -> list[str]:
        """Requests that were accepted more than once."""
        ids = Counter(
            record.request_id for task, record in self.submitted.items() if task not in self.refused
        )
        return [f"request {name} was accepted {count} times" for name, count in ids.items() if count > 1]


def read_tale(entries: Iterable[Entry]) -> Tale:
    """Fold a log as a careful reader would: by the rules of terms, the first end counts."""
    tale, term = Tale(), -1
    holder: dict[VmId, TaskId] = {}
    followers: dict[TaskId, list[TaskId]] = {}
    for entry in entries:
        match entry.record:
            case Elected():
                term = entry.offset
            case Submitted() as record:
                tale.submitted[TaskId(entry.offset)] = record
            case Refused() | Merged() as decision if is_void(decision, Term(term)):
                pass
            case Refused(task=task):
                tale.refused.add(task)
            case Merged(task=task, into=into):
                followers.setdefault(into, []).append(task)
            case Leased(vm=vm, task=task) as lease if lease.term == term:
                if vm in holder or task in tale.ended or task in tale.leased:
                    held = f"{vm} was held by {holder.get(vm)}"
                    tale.overlaps.append(
                        f"task {task} was leased at {entry.offset} in term {term}: {held}, "
                        f"ended {task in tale.ended}, leased before at {tale.leased.get(task)}"
                    )
                holder[vm] = task
                tale.leased[task] = entry.offset
            case Finished(vm=vm, task=task) as record:
                for ended in (task, *followers.pop(task, ())):
                    tale.ended.setdefault(ended, record)
                if holder.get(vm) == task:
                    del holder[vm]
            case _:
                pass
    return tale


@dataclass(frozen=True, slots=True)
class Counts:
    """The verdict: what went wrong, how often; `promised` tasks are what it is about."""

    promised: int = 0
    lost: int = 0
    duplicated: int = 0
    stuck: int = 0
    invalid: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(self.all, other.all, strict=True)))

    @property
    def all(self) -> tuple[int, ...]:
        """Every count, in their order."""
        return (self.promised, self.lost, self.duplicated, self.stuck, self.invalid, self.missed)

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not any(self.all[1:])


def judge(
    tale: Tale, promises: Iterable[Promise], hooks: Iterable[tuple[str, str]]
) -> tuple[Counts, list[str]]:
    """What of the promises a log and its hypervisor kept; and in words, what they did not."""
    promised = list(promises)
    lost = [promise for promise in promised if not _kept(promise, tale)]
    runs = Counter(hooks)
    given: Counter[tuple[Any, Any]] = Counter(
        (tale.submitted[task].operation.kind, tale.submitted[task].vm) for task in tale.leased
    )
    put_right = Counter(record.vm for record in tale.ended.values() if _was_put_right(record))
    allowed = {
        (hook, vm): sum(given[kind, vm] for kind in ONCE[hook]) + put_right[VmId(vm)] * (hook in OF_A_REBOOT)
        for hook, vm in runs
        if hook in ONCE
    }
    ran_again = [
        f"{hook} of {vm} ran {runs[hook, vm]} times for {leases} leases"
        for (hook, vm), leases in allowed.items()
        if runs[hook, vm] > leases
    ]
    duplicated = [*tale.overlaps, *tale.repeated(), *ran_again]
    counts = Counts(
        promised=len(promised), lost=len(lost), duplicated=len(duplicated), stuck=len(tale.open())
    )
    return counts, [f"lost: {promise}" for promise in lost] + duplicated


def _was_put_right(record: Finished) -> bool:
    """Whether a worker died in a task, and did afterwards what the VM's domain asked for.

    It says so itself, unless it was away for so long that it was given up.
    """
    if not isinstance(record.outcome, Failed):
        return False
    words = record.outcome.model_dump_json()
    return "the VM was put right" in words or "was lost: silent for" in words


def _kept(promise: Promise, tale: Tale) -> bool:
    """Whether the log knows the task, accepted it, and ended it as its client was told."""
    if promise.task not in tale.submitted or promise.task in tale.refused:
        return False
    ended = tale.ended.get(promise.task)
    if promise.succeeded is None or ended is None:
        return promise.succeeded is None
    return promise.succeeded is not isinstance(ended.outcome, Failed)
