"""Core: which leases a worker must run, from the log alone; no clock, thread or backend inside."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bus.ports import Entry
from schema.ids import LeaseToken, TaskId, Term, VmId, WorkerName
from schema.log_records import Stranded
from schema.records import (
    ChannelOffered,
    Failed,
    Finished,
    Heartbeat,
    Leased,
    Merged,
    Parked,
    Record,
    Refused,
    Submitted,
    WorkerDown,
    WorkerUp,
    is_void,
)

from engine.worker.leases_read import KNOWS_NOTHING, LeasesRead, ReadBefore
from engine.worker.snapshot import CoreState, LeaseState, decoded, encoded

NO_TERM = Term(-1)

STRANDED_MAX = 20
"""So many are named in a sign of life, of which the log gets one every five seconds."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A task that this worker may run, and the token that fences it.

    `life` is when the log's first entry was made: tokens of a log that was made anew begin from zero again.
    `traceparent` names the span that caused it, `before` is what was read of its VM's leases until then.
    """

    task: TaskId
    token: LeaseToken
    submitted: Submitted
    life: float
    traceparent: str | None = None
    before: ReadBefore = KNOWS_NOTHING


@dataclass(frozen=True, slots=True)
class Append:
    """Write a record to the instance's log."""

    record: Record


@dataclass(frozen=True, slots=True)
class Run:
    """Run a lease; its journal says whether that has been tried before.

    `until`: this worker has let it wait already, until then, in seconds since the epoch.
    """

    lease: Lease
    cancelled: bool
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody wants a task to stop."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class Fence:
    """A task has ended for everybody: whatever still runs of it must stop."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class Offer:
    """A migration's source has opened a further channel; whoever receives the VM wants to know."""

    offer: ChannelOffered


@dataclass(frozen=True, slots=True)
class Forget:
    """A VM is no more, and all its tasks have ended for everybody: what was noted of them serves nobody."""

    vm: VmId


@dataclass(frozen=True, slots=True)
class Compare:
    """A lease of this worker has ended for everybody while it did not live; its journal may say otherwise."""

    finished: Finished


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Another worker's lease has failed: should it have died in it, what it left is put right by this one."""

    finished: Finished


@dataclass(frozen=True, slots=True)
class TellAll:
    """Another life of the log has begun, which knows nothing of this worker: clients are told of every VM."""


Effect = Append | Run | Cancel | Fence | Offer | Forget | Compare | TakeOver | TellAll


@dataclass(slots=True)
class WorkerCore:
    """One worker's view of its instance's log. `epoch` tells its lives apart, `version` is its software's."""

    name: WorkerName
    epoch: str
    capacity: int
    version: str = ""
    live: bool = False
    term: Term = NO_TERM
    _life: float | None = None
    _submitted: dict[TaskId, Submitted] = field(default_factory=dict)
    _leases: dict[TaskId, Lease] = field(default_factory=dict)
    _cancelled: set[TaskId] = field(default_factory=set)
    _parked: dict[TaskId, float] = field(default_factory=dict)
    _ended: dict[VmId, Finished] = field(default_factory=dict)
    _read: LeasesRead = field(default_factory=lambda: LeasesRead(LeaseToken(0)))
    _is_known: bool = True
    _has_told: bool = False

    @property
    def life(self) -> float | None:
        """Which life of the log is read; None before anything is."""
        return self._life

    def expects(self, vm: VmId) -> bool:
        """Whether any task of a VM waits or runs; before the log is read, it may."""
        return not self.live or any(submitted.vm == vm for submitted in self._submitted.values())

    def on_entry(self, entry: Entry) -> list[Effect]:
        """Fold one entry; what to do at once. While the log is read for the first time: nothing."""
        is_anew = entry.record.kind == "LifeBegan"
        if self._life is None or is_anew:
            self._life = entry.at
        if is_anew:
            self._is_known = False
            self._read = LeasesRead(LeaseToken(entry.offset))
        effects = self._fold(entry)
        return effects if self.live else []

    def snapshot(self) -> Iterator[bytes]:
        """What is known of the log now, as lines."""
        leases = {
            task: LeaseState(lease.token, lease.life, lease.traceparent, lease.before)
            for task, lease in self._leases.items()
        }
        state = CoreState(
            life=self._life,
            term=self.term,
            submitted=dict(self._submitted),
            leases=leases,
            cancelled=frozenset(self._cancelled),
            parked=dict(self._parked),
            is_known=self._is_known,
            read=self._read.copy(),
        )
        return encoded(state)

    def restore(self, lines: Iterable[bytes]) -> None:
        """Know what lines say, before anything is read.

        Raises:
            SnapshotError: another version wrote them; nothing has changed.
        """
        state = decoded(lines)
        leases = {
            task: Lease(task, lease.token, state.submitted[task], lease.life, lease.traceparent, lease.before)
            for task, lease in state.leases.items()
            if task in state.submitted
        }
        self._is_known, self._read = state.is_known, state.read
        self._life, self.term = state.life, state.term
        self._submitted, self._leases = dict(state.submitted), leases
        self._cancelled, self._parked = set(state.cancelled), dict(state.parked)

    def on_live(self) -> list[Effect]:
        """The log is read: this worker is up, and goes on with what is leased to it."""
        self.live = True
        ended, self._ended = self._ended, {}
        return [
            *self._tell_all(),
            Append(self._up()),
            *(self._run(lease) for lease in self._leases.values()),
            *map(Compare, ended.values()),
        ]

    def on_time(self, stranded: tuple[Stranded, ...] = ()) -> list[Effect]:
        """A sign of life is due, which names what stands on this host under temporary ids: some of it."""
        if not self.live:
            return []
        tokens = tuple(lease.token for lease in self._leases.values())
        return [Append(Heartbeat(worker=self.name, tokens=tokens, stranded=stranded[:STRANDED_MAX]))]

    def on_capacity(self, capacity: int) -> list[Effect]:
        """An operator wants more or fewer VMs at a time."""
        self.capacity = capacity
        return [Append(self._up())]

    def on_stop(self) -> list[Effect]:
        """This worker takes no more; what it runs it ends."""
        return [Append(WorkerDown(worker=self.name, epoch=self.epoch))]

    def _fold(self, entry: Entry) -> list[Effect]:
        record = entry.record
        match record.kind:
            case "Submitted":
                self._submitted[TaskId(entry.offset)] = record
            case "Refused" | "Merged":
                self._on_settled(record)
            case "Elected":
                self.term = Term(entry.offset)
            case "Leased":
                return self._on_leased(LeaseToken(entry.offset), record)
            case "Parked":
                self._on_parked(record)
            case "CancelRequested":
                return self._on_cancel(record.task)
            case "Finished":
                return self._on_finished(record)
            case "Removed":
                return [] if self._executes(record.vm) else [Forget(record.vm)]
            case "ChannelOffered":
                return [Offer(record)]
            case "LifeBegan" if self.live:
                return self._tell_all()
            case "WorkerUp" if record.worker == self.name:
                self._is_known = True
            case "WorkerDown" if (record.worker, record.epoch) == (self.name, self.epoch):
                return [Append(self._up())]  # we were thought lost: we are not
            case _:
                pass  # what others report decides nothing here
        return []

    def _tell_all(self) -> list[Effect]:
        """Once in a process's life: who finds a log lost begins anew, and so does this one."""
        if self._is_known or self._has_told:
            return []
        self._has_told = True
        return [TellAll()]

    def _on_settled(self, record: Refused | Merged) -> None:
        """Void, the task may still be leased; so may one that was merged into what had ended."""
        is_late = isinstance(record, Merged) and record.into not in self._submitted
        if not is_late and not is_void(record, self.term):
            self._submitted.pop(record.task, None)

    def _executes(self, vm: VmId) -> bool:
        return any(lease.submitted.vm == vm for lease in self._leases.values())

    def _on_leased(self, token: LeaseToken, record: Leased) -> list[Effect]:
        if record.term != self.term:
            return []
        before = self._read.note(record.vm, token)
        submitted = self._submitted.get(record.task)
        if record.worker != self.name or submitted is None:
            return []
        cause = record.traceparent or submitted.traceparent
        lease = Lease(record.task, token, submitted, self._life or 0.0, cause, before)
        self._leases[record.task] = lease
        return [self._run(lease)]

    def _on_parked(self, record: Parked) -> None:
        lease = self._leases.get(record.task)
        if lease is not None and lease.token == record.token:
            self._parked[record.task] = record.until

    def _on_cancel(self, task: TaskId) -> list[Effect]:
        if task not in self._leases:
            return []  # it waits, or others run it
        self._cancelled.add(task)
        return [Cancel(task)]

    def _on_finished(self, record: Finished) -> list[Effect]:
        task = record.task
        was_known = self._submitted.pop(task, None) is not None
        self._cancelled.discard(task)
        self._parked.pop(task, None)
        if self._leases.pop(task, None) is None:
            is_left = was_known and record.token is not None and isinstance(record.outcome, Failed)
            return [TakeOver(record)] if is_left else []
        if not self.live:
            self._ended[record.vm] = record
        return [Fence(task)]

    def _run(self, lease: Lease) -> Run:
        return Run(lease, cancelled=lease.task in self._cancelled, until=self._parked.get(lease.task))

    def _up(self) -> WorkerUp:
        return WorkerUp(worker=self.name, epoch=self.epoch, capacity=self.capacity, version=self.version)
