"""Core: which leases a worker must run, from the log alone; no clock, thread or backend inside."""

from dataclasses import dataclass, field

from bus.ports import Entry
from schema.ids import LeaseToken, TaskId, Term, WorkerName
from schema.records import (
    CancelRequested,
    Elected,
    Finished,
    Heartbeat,
    Leased,
    Merged,
    Record,
    Refused,
    Submitted,
    WorkerDown,
    WorkerUp,
)

NO_TERM = Term(-1)


@dataclass(frozen=True, slots=True)
class Lease:
    """A task that this worker may run, and the token that fences it."""

    task: TaskId
    token: LeaseToken
    submitted: Submitted


@dataclass(frozen=True, slots=True)
class Append:
    """Write a record to the instance's log."""

    record: Record


@dataclass(frozen=True, slots=True)
class Run:
    """Run a lease; its journal says whether that has been tried before."""

    lease: Lease
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody wants a task to stop."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class Fence:
    """A task has ended for everybody: whatever still runs of it must stop."""

    task: TaskId


Effect = Append | Run | Cancel | Fence


@dataclass(slots=True)
class WorkerCore:
    """One worker's view of its instance's log. `epoch` tells its lives apart."""

    name: WorkerName
    epoch: str
    capacity: int
    live: bool = False
    term: Term = NO_TERM
    _submitted: dict[TaskId, Submitted] = field(default_factory=dict)
    _leases: dict[TaskId, Lease] = field(default_factory=dict)
    _cancelled: set[TaskId] = field(default_factory=set)

    def on_entry(self, entry: Entry) -> list[Effect]:
        """Fold one entry; what to do at once. While the log is read for the first time: nothing."""
        effects = self._fold(entry)
        return effects if self.live else []

    def on_live(self) -> list[Effect]:
        """The log is read: this worker is up, and goes on with what is leased to it."""
        self.live = True
        return [Append(self._up()), *(self._run(lease) for lease in self._leases.values())]

    def on_time(self) -> list[Effect]:
        """A sign of life is due."""
        if not self.live:
            return []
        tokens = tuple(lease.token for lease in self._leases.values())
        return [Append(Heartbeat(worker=self.name, tokens=tokens))]

    def on_capacity(self, capacity: int) -> list[Effect]:
        """An operator wants more or fewer VMs at a time."""
        self.capacity = capacity
        return [Append(self._up())]

    def on_stop(self) -> list[Effect]:
        """This worker takes no more; what it runs it ends."""
        return [Append(WorkerDown(worker=self.name, epoch=self.epoch))]

    def _fold(self, entry: Entry) -> list[Effect]:
        match entry.record:
            case Submitted() as record:
                self._submitted[TaskId(entry.offset)] = record
            case Refused(task=task) | Merged(task=task):
                self._submitted.pop(task, None)
            case Elected():
                self.term = Term(entry.offset)
            case Leased() as record:
                return self._on_leased(LeaseToken(entry.offset), record)
            case CancelRequested(task=task):
                return self._on_cancel(task)
            case Finished(task=task):
                return self._on_finished(task)
            case WorkerDown(worker=self.name, epoch=self.epoch):
                return [Append(self._up())]  # we were thought lost: we are not
            case _:
                pass  # what others report decides nothing here
        return []

    def _on_leased(self, token: LeaseToken, record: Leased) -> list[Effect]:
        submitted = self._submitted.get(record.task)
        if record.term != self.term or record.worker != self.name or submitted is None:
            return []
        lease = Lease(record.task, token, submitted)
        self._leases[record.task] = lease
        return [self._run(lease)]

    def _on_cancel(self, task: TaskId) -> list[Effect]:
        if task not in self._leases:
            return []  # it waits, or others run it
        self._cancelled.add(task)
        return [Cancel(task)]

    def _on_finished(self, task: TaskId) -> list[Effect]:
        self._submitted.pop(task, None)
        self._cancelled.discard(task)
        return [Fence(task)] if self._leases.pop(task, None) else []

    def _run(self, lease: Lease) -> Run:
        return Run(lease, cancelled=lease.task in self._cancelled)

    def _up(self) -> WorkerUp:
        return WorkerUp(worker=self.name, epoch=self.epoch, capacity=self.capacity)
