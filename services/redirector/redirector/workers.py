"""Workers: who is up, how many VMs each may run at a time, who has fallen silent, who is drained.

Every step is O(1) or O(log n), but those that a new leader takes once, and the look for silence.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from schema.ids import LeaseToken, TaskId, VmId, WorkerName
from schema.log_records import Stranded

VMS_REMEMBERED_MAX = 100_000
"""Of so many VMs it is known which worker had them last; older ones go anywhere."""

WORKERS_MAX = 10_000
"""More workers than any host has names for: of further ones none is known."""

STALE_MIN = 64
"""So many outdated entries of a ranking are not worth the work of forgetting them."""


class Lease(NamedTuple):
    """A task on a worker, since `since`; no token yet: its record is still under way."""

    task: TaskId
    vm: VmId
    token: LeaseToken | None
    takes_slot: bool = True
    since: float = 0.0


@dataclass(slots=True)
class Worker:
    """One worker process; `suspected`: somebody is about to write that it is down.

    `parked`: those of its leases that wait for a time and take no slot. `busy`: how many slots are taken.
    `stranded`: what it has named last of what stands on its host under temporary ids.
    """

    name: WorkerName
    epoch: str
    capacity: int
    seen: float
    up: bool = True
    suspected: bool = False
    draining: bool = False
    leases: dict[TaskId, Lease] = field(default_factory=dict)
    parked: set[TaskId] = field(default_factory=set)
    busy: int = 0
    stranded: tuple[Stranded, ...] = ()

    def present(self) -> bool:
        """Whether it may take anything."""
        return self.up and not self.suspected and not self.draining

    def free(self) -> bool:
        """Whether it may take one more."""
        return self.present() and self.busy < self.capacity


class _Ranking:
    """Those workers that may take something, least busy first: a heap of (how busy, name).

    `_lowest` is the foremost entry of each worker. A worker that is busier than its entry says keeps it until
    it comes to the front, for most changes change nothing there.
    """

    def __init__(self, may_take: Callable[[Worker], bool]) -> None:
        self._may_take = may_take
        self._heap: list[tuple[int, WorkerName]] = []
        self._lowest: dict[WorkerName, int] = {}

    def put(self, worker: Worker, workers: dict[WorkerName, Worker]) -> None:
        """A worker that may take something has changed."""
        if self._lowest.get(worker.name, worker.busy + 1) <= worker.busy:
            return
        if len(self._heap) > 4 * len(workers) + STALE_MIN:
            self._lowest = {one.name: one.busy for one in workers.values() if self._may_take(one)}
            self._heap = [(busy, name) for name, busy in self._lowest.items()]
            heapq.heapify(self._heap)
        self._lowest[worker.name] = worker.busy
        heapq.heappush(self._heap, (worker.busy, worker.name))

    def first(self, workers: dict[WorkerName, Worker]) -> Worker | None:
        """The one that has least to do."""
        while self._heap:
            busy, name = self._heap[0]
            worker = workers.get(name)
            if self._lowest.get(name) != busy:
                heapq.heappop(self._heap)  # it has a better one
            elif worker is None or not self._may_take(worker):
                heapq.heappop(self._heap)
                del self._lowest[name]
            elif worker.busy == busy:
                return worker
            else:
                self._lowest[name] = worker.busy
                heapq.heapreplace(self._heap, (worker.busy, name))
        return None


class Workers:
    """All workers of an instance."""

    def __init__(self) -> None:
        self._workers: dict[WorkerName, Worker] = {}
        self._holder_of: dict[TaskId, Worker] = {}
        self._unwritten: dict[TaskId, Lease] = {}
        self._last_worker: OrderedDict[VmId, WorkerName] = OrderedDict()
        self._free = _Ranking(Worker.free)
        self._present = _Ranking(Worker.present)

    def get(self, name: WorkerName) -> Worker | None:
        """A worker that is known."""
        return self._workers.get(name)

    def all(self) -> list[Worker]:
        """Every worker, up or down."""
        return list(self._workers.values())

    def last_workers(self) -> list[tuple[VmId, WorkerName]]:
        """Which worker had each VM last, those first that were worked on longest ago."""
        return list(self._last_worker.items())

    def lease_of(self, task: TaskId) -> tuple[Worker, Lease] | None:
        """Who has a task."""
        worker = self._holder_of.get(task)
        return None if worker is None else (worker, worker.leases[task])

    # --- who is there -------------------------------------------------------------------------------

    def come(self, name: WorkerName, epoch: str, capacity: int, now: float) -> None:
        """A worker is up; its leases of an earlier life are still its own to settle."""
        worker = self._known(name)
        if worker is None:
            return
        if worker.epoch != epoch:
            self._unpark_all(worker)
        worker.epoch, worker.capacity, worker.seen = epoch, capacity, now
        worker.up, worker.suspected = True, False
        self._rank(worker)

    def go(self, name: WorkerName, epoch: str, now: float) -> None:
        """A worker takes no more; a later life of it is not meant. From now on it may object."""
        worker = self._workers.get(name)
        if worker is not None and worker.epoch == epoch:
            worker.up = worker.suspected = False
            worker.seen = now

    def suspect(self, worker: Worker) -> None:
        """Give a worker nothing more: its silence is being written down."""
        worker.suspected = True

    def drain(self, name: WorkerName, *, draining: bool) -> None:
        """Give a worker nothing more, or let it work again, in whatever life it is."""
        worker = self._known(name)
        if worker is not None:
            worker.draining = draining
            self._rank(worker)

    def trust(self, now: float) -> None:
        """Forget all suspicion: who has not read the log for a while knows nothing of silence."""
        for worker in self._workers.values():
            worker.suspected = False
            worker.seen = now
            self._rank(worker)

    def hear(self, name: WorkerName, now: float) -> None:
        """A worker has given a sign of life."""
        worker = self._workers.get(name)
        if worker is not None:
            worker.seen = now

    def strand(self, name: WorkerName, stranded: tuple[Stranded, ...]) -> None:
        """A worker names what stands on its host under temporary ids."""
        worker = self._workers.get(name)
        if worker is not None:
            worker.stranded = stranded

    def first_free(self) -> Worker | None:
        """Who has a free slot, and least to do."""
        return self._free.first(self._workers)

    def choose(self, vm: VmId, *, takes_slot: bool = True) -> Worker | None:
        """Who shall run a VM's task: who had it last, else who has least to do; None if all are full."""
        last = self._workers.get(self._last_worker.get(vm, WorkerName("")))
        if last is not None and (last.free() if takes_slot else last.present()):
            return last
        ranking = self._free if takes_slot else self._present
        return ranking.first(self._workers)

    # --- what they have -----------------------------------------------------------------------------

    def lease(self, name: WorkerName, lease: Lease) -> None:
        """A worker has a task, and nobody else has."""
        holder = self._holder_of.get(lease.task)
        if holder is not None and holder.name == name and lease.token is not None:
            self._write(holder, lease)
            return
        self.settle(lease.task)
        worker = self._known(name)
        if worker is None:
            return
        worker.leases[lease.task] = lease
        worker.busy += lease.takes_slot
        self._holder_of[lease.task] = worker
        if lease.token is None:
            self._unwritten[lease.task] = lease
        else:
            self.remember(lease.vm, name)
        self._rank(worker)

    def _write(self, holder: Worker, lease: Lease) -> None:
        """What a worker had been given already stands in the log now."""
        del holder.leases[lease.task]
        holder.leases[lease.task] = lease
        self._unwritten.pop(lease.task, None)
        self.remember(lease.vm, holder.name)

    def remember(self, vm: VmId, name: WorkerName) -> None:
        """A worker had the VM last: its next task goes there first."""
        self._last_worker[vm] = name
        self._last_worker.move_to_end(vm)
        if len(self._last_worker) > VMS_REMEMBERED_MAX:
            self._last_worker.popitem(last=False)

    def restore_last_workers(self, last_workers: Iterable[tuple[VmId, WorkerName]]) -> None:
        """Take over which worker had each VM last, as `last_workers` answered it."""
        self._last_worker = OrderedDict(last_workers)

    def forget(self, vm: VmId) -> None:
        """A VM is no more."""
        self._last_worker.pop(vm, None)

    def settle(self, task: TaskId) -> None:
        """A leased task has ended."""
        worker = self._holder_of.pop(task, None)
        if worker is not None:
            lease = worker.leases.pop(task)
            worker.busy -= lease.takes_slot and task not in worker.parked
            worker.parked.discard(task)
            self._unwritten.pop(task, None)
            self._rank(worker)

    def park(self, task: TaskId, token: LeaseToken) -> None:
        """A leased task waits for a time and takes no slot meanwhile."""
        found = self.lease_of(task)
        if found is not None and found[1].token == token and task not in found[0].parked:
            worker, lease = found
            worker.parked.add(task)
            worker.busy -= lease.takes_slot
            self._rank(worker)

    def unpark(self, task: TaskId) -> None:
        """A leased task goes on, or begins."""
        worker = self._holder_of.get(task)
        if worker is not None and task in worker.parked:
            self._unpark(worker, task)
            self._rank(worker)

    def unwritten_for(self, task: TaskId) -> VmId | None:
        """The VM of a task if it is leased by a record that is still under way."""
        lease = self._unwritten.get(task)
        return None if lease is None else lease.vm

    def void_unwritten(self) -> list[Lease]:
        """Take back the leases whose record has not been read; answers them."""
        taken = list(self._unwritten.values())
        for lease in taken:
            self.settle(lease.task)
        return taken

    def _known(self, name: WorkerName) -> Worker | None:
        """A worker by its name, whatever is known of it so far; None if there are too many."""
        worker = self._workers.get(name)
        if worker is None and self._has_room():
            worker = self._workers[name] = Worker(name, "", 0, 0.0, up=False)
        return worker

    def _has_room(self) -> bool:
        """Of names that cannot matter any more one is forgotten where there is no room."""
        if len(self._workers) < WORKERS_MAX:
            return True
        for worker in self._workers.values():
            if not worker.up and not worker.leases and not worker.draining:
                del self._workers[worker.name]
                return True
        return False

    def _unpark_all(self, worker: Worker) -> None:
        for task in list(worker.parked):
            self._unpark(worker, task)

    @staticmethod
    def _unpark(worker: Worker, task: TaskId) -> None:
        worker.parked.discard(task)
        worker.busy += worker.leases[task].takes_slot

    def _rank(self, worker: Worker) -> None:
        if worker.present():
            self._present.put(worker, self._workers)
            if worker.busy < worker.capacity:
                self._free.put(worker, self._workers)
