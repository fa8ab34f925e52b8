"""Workers: who is up, how many VMs each may run at a time, and who has fallen silent."""

from collections import OrderedDict
from dataclasses import dataclass, field

from schema.ids import LeaseToken, TaskId, VmId, WorkerName

VM_PLACES_MAX = 100_000
"""Of so many VMs it is known which worker had them last; older ones go anywhere."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A task on a worker; no token yet: its record is still under way."""

    task: TaskId
    vm: VmId
    token: LeaseToken | None


@dataclass(slots=True)
class Worker:
    """One worker process."""

    name: WorkerName
    epoch: str
    capacity: int
    seen: float
    up: bool = True
    leases: dict[TaskId, Lease] = field(default_factory=dict)

    def free(self) -> bool:
        """Whether it may take one more."""
        return self.up and len(self.leases) < self.capacity


class Workers:
    """All workers of an instance."""

    def __init__(self) -> None:
        self._workers: dict[WorkerName, Worker] = {}
        self._places: OrderedDict[VmId, WorkerName] = OrderedDict()

    def get(self, name: WorkerName) -> Worker | None:
        """A worker that is known."""
        return self._workers.get(name)

    def all(self) -> list[Worker]:
        """Every worker, up or down."""
        return list(self._workers.values())

    def come(self, name: WorkerName, epoch: str, capacity: int, now: float) -> None:
        """A worker is up; its leases of an earlier life are still its own to settle."""
        known = self._workers.get(name)
        leases = known.leases if known else {}
        self._workers[name] = Worker(name, epoch, capacity, now, leases=leases)

    def go(self, name: WorkerName, epoch: str) -> None:
        """A worker takes no more; a later life of it is not meant."""
        worker = self._workers.get(name)
        if worker is not None and worker.epoch == epoch:
            worker.up = False

    def hear(self, name: WorkerName, now: float) -> None:
        """A worker has given a sign of life."""
        worker = self._workers.get(name)
        if worker is not None:
            worker.seen = now

    def choose(self, vm: VmId) -> Worker | None:
        """Who shall run a VM's task: who had it last, else who has least to do; None if all are full."""
        last = self._workers.get(self._places.get(vm, WorkerName("")))
        if last is not None and last.free():
            return last
        free = [worker for worker in self._workers.values() if worker.free()]
        return min(free, key=lambda worker: (len(worker.leases), worker.name), default=None)

    def lease(self, name: WorkerName, lease: Lease) -> None:
        """A worker has a task."""
        worker = self._workers.setdefault(name, Worker(name, "", 0, 0.0, up=False))
        worker.leases[lease.task] = lease
        self._places[lease.vm] = name
        self._places.move_to_end(lease.vm)
        if len(self._places) > VM_PLACES_MAX:
            self._places.popitem(last=False)

    def settle(self, task: TaskId) -> None:
        """A leased task has ended."""
        for worker in self._workers.values():
            worker.leases.pop(task, None)

    def void_unwritten(self) -> list[Lease]:
        """Take back the leases whose record has not been read; answers them."""
        taken = []
        for worker in self._workers.values():
            unwritten = [lease for lease in worker.leases.values() if lease.token is None]
            for lease in unwritten:
                del worker.leases[lease.task]
            taken += unwritten
        return taken
