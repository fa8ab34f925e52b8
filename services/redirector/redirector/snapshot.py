"""Snapshot: a fold as bytes and back; compact, quick to load, the same from every replica.

What is not in it: a leader's decisions that were not in the log yet, when a worker was last heard, and the
order of turns, which begins anew with the VM that has waited longest. What the head has more than an older
version's is optional; who changes anything else gives it another version, and a redirector that meets one
that it does not know reads the log instead.
"""

from collections.abc import Hashable, Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import Any

from bus.snapshots import SnapshotError
from schema.ids import LeaseToken, Term, VmId, WorkerName
from schema.log_records import Stranded

from redirector.brief import Brief, Stop, shared
from redirector.columns import FLOATS, INDICES, INTEGERS, TEXTS, ColumnsError, Reader, Writer
from redirector.fold import Fold
from redirector.lane import Waiting
from redirector.workers import Lease, Worker

MAGIC = b"xenops redirector snapshot 1\n"
"""What every snapshot of this version begins with."""

_NO_DEADLINE = float("inf")


class _Table:
    """Values that occur often, each told by its number."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def of(self, values: Iterable[Hashable]) -> list[int]:
        """The number of each."""
        numbers = self.numbers
        return [numbers.setdefault(value, len(numbers)) for value in values]

    def of_few(self, values: list[Any]) -> list[int]:
        """The same, where many are the same object, which is told faster than what it is equal to."""
        numbers = self.numbers
        by_object = {id(value): value for value in values}
        known = {key: numbers.setdefault(value, len(numbers)) for key, value in by_object.items()}
        return [known[id(value)] for value in values]


def taken(fold: Fold) -> bytes:
    """A fold's snapshot."""
    writer = Writer(MAGIC)
    tasks = _write_tasks(fold, writer)
    requests = list(fold.requests.items())
    writer.put(TEXTS, [request_id for request_id, _, _ in requests])
    writer.put(INTEGERS, [task for _, task, _ in requests])
    writer.put(FLOATS, [until for _, _, until in requests])
    head = {
        **tasks,
        "term": fold.term,
        "leader": fold.leader,
        "life": [fold.life, fold.life_at],
        "workers": [_of_worker(worker) for worker in fold.workers.all()],
        "places": fold.workers.last_workers(),
        "held": list(fold.lanes.held()),
        "sharing": list(fold.lanes.claims.sharing()),
        "followers": list(fold.followers.items()),
        "repeats": [[task, *first] for task, first in fold.repeats.items()],
        "cancels": list(fold.cancels.items()),
        "refused": list(fold.requests.refused()),
        "stranded": [
            [worker.name, [one.model_dump() for one in worker.stranded]]
            for worker in fold.workers.all()
            if worker.stranded
        ],
    }
    return writer.written(head)


def _write_tasks(fold: Fold, writer: Writer) -> dict[str, Any]:
    """All tasks as columns; answers the tables that these point into, for the head.

    Those of a VM stand together, so that they do in the memory of whoever reads them: of a million, what is
    far from each other takes longer to find than to read.
    """
    tasks = list(chain.from_iterable(_in_lanes(fold)))
    vms, briefs, replies, baggages = _Table(), _Table(), _Table(), _Table()
    writer.put(INTEGERS, [task.id for task in tasks])
    writer.put(INDICES, vms.of(task.vm for task in tasks))
    writer.put(INDICES, briefs.of_few([task.brief for task in tasks]))
    writer.put(TEXTS, [task.request_id for task in tasks])
    writer.put(FLOATS, [task.since for task in tasks])
    writer.put(FLOATS, [task.accept_by for task in tasks])
    writer.put(INDICES, replies.of(task.reply_to for task in tasks))
    writer.put(FLOATS, [_NO_DEADLINE if task.deadline is None else task.deadline for task in tasks])
    writer.put(INDICES, [task.awaited for task in tasks])
    writer.put(INTEGERS, [task.priority for task in tasks])
    writer.put(TEXTS, [task.traceparent for task in tasks])
    writer.put(INDICES, baggages.of(task.baggage for task in tasks))
    return {
        "vms": list(vms.numbers),
        "briefs": [_of_brief(brief) for brief in briefs.numbers],
        "replies": list(replies.numbers),
        "baggages": list(baggages.numbers),
    }


def _in_lanes(fold: Fold) -> list[list[Waiting]]:
    """Each VM's tasks, oldest first, and those VMs first that have waited longest."""
    tasks_of = {lane.vm: list(lane.tasks.values()) for lane in fold.lanes.all()}
    for task in chain(fold.lanes.decided(), _running(fold)):
        tasks_of.setdefault(task.vm, []).append(task)
    lanes = [tasks for tasks in tasks_of.values() if tasks]
    by_age = attrgetter("id")
    for tasks in lanes:
        tasks.sort(key=by_age)
    return sorted(lanes, key=lambda tasks: tasks[0].id)


def _running(fold: Fold) -> Iterator[Waiting]:
    for worker in fold.workers.all():
        for lease in worker.leases.values():
            running = fold.lanes.running(lease.vm)
            if running is None:
                raise AssertionError(f"lane {lease.vm} is leased to nobody")
            yield running


def _of_brief(brief: Brief) -> list[Any]:
    return [brief.name, brief.stop.value, brief.check, brief.other_name, brief.takes_slot]


def _of_worker(worker: Worker) -> list[Any]:
    leases = [
        [lease.task, lease.vm, lease.token, lease.takes_slot, lease.since, lease.task in worker.parked]
        for lease in worker.leases.values()
        if lease.token is not None
    ]
    return [worker.name, worker.epoch, worker.capacity, worker.up, worker.draining, leases]


def restored(snapshot: bytes) -> Fold:
    """The fold that a snapshot was taken of.

    Raises:
        SnapshotError: it is none, or none that this version reads.
    """
    try:
        return _read(Reader(snapshot, MAGIC))
    except ColumnsError as error:
        raise SnapshotError(
            f"the redirector's snapshot cannot be read: {error}; read the log instead"
        ) from error


def _read(reader: Reader) -> Fold:
    head = reader.head
    fold = Fold(term=Term(head["term"]), leader=head["leader"])
    fold.life, fold.life_at = head.get("life", (fold.life, fold.life_at))
    tasks = _read_tasks(reader)
    request_ids = reader.take()
    fold.requests.fill(zip(request_ids, zip(reader.take(), reader.take(), strict=True), strict=True))
    for request_id in head.get("refused", ()):
        fold.requests.refuse(request_id)
    for vm in head["sharing"]:
        fold.lanes.share(vm, shares=True)
    fold.lanes.fill(tasks, [lease[0] for worker in head["workers"] for lease in worker[-1]])
    for vm in head["held"]:
        fold.lanes.hold(vm, held=True)
    fold.deadlines.fill()
    for worker in head["workers"]:
        _restore_worker(fold, worker)
    for name, stranded in head.get("stranded", ()):
        fold.workers.strand(WorkerName(name), tuple(map(Stranded.model_validate, stranded)))
    fold.workers.restore_last_workers((VmId(vm), WorkerName(name)) for vm, name in head["places"])
    for task, leader in head["followers"]:
        fold.followers.add(task, leader)
    fold.repeats.update({task: (first, vm) for task, first, vm in head["repeats"]})
    fold.cancels.update(dict(head["cancels"]))
    return fold


def _read_tasks(reader: Reader) -> list[Waiting]:
    """All tasks, each VM's oldest first; what many have is there once."""
    head = reader.head
    briefs = [shared(Brief(name, Stop(stop), *rest)) for name, stop, *rest in head["briefs"]]
    baggages = [tuple((key, value) for key, value in baggage) for baggage in head["baggages"]]
    columns = (
        reader.take(),
        map(head["vms"].__getitem__, reader.take()),
        map(briefs.__getitem__, reader.take()),
        reader.take(),
        reader.take(),
        reader.take(),
        map(head["replies"].__getitem__, reader.take()),
        (None if deadline == _NO_DEADLINE else deadline for deadline in reader.take()),
        map((False, True).__getitem__, reader.take()),
        reader.take(),
        reader.take(),
        map(baggages.__getitem__, reader.take()),
    )
    return list(map(Waiting, *columns))


def _restore_worker(fold: Fold, worker: list[Any]) -> None:
    name, epoch, capacity, up, draining, leases = worker
    fold.workers.come(name, epoch, capacity, now=0.0)
    if not up:
        fold.workers.go(name, epoch, now=0.0)
    fold.workers.drain(name, draining=draining)
    for task, vm, token, takes_slot, since, parked in leases:
        fold.workers.lease(name, Lease(task, vm, LeaseToken(token), takes_slot, since))
        if parked:
            fold.workers.park(task, token)
