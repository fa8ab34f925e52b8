"""Records: everything that may stand in the log, and the envelope it travels in."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schema.ids import InstanceName, LeaseToken, TaskId, Term, VmId, WorkerName
from schema.log_records import LifeBegan, LogRecord, Snapshotted, Stranded
from schema.migration import Channel
from schema.objects.dynamic import ObjectId
from schema.objects.errors import Error
from schema.operations import Operation
from schema.overseen import Acted, Atom, Pinged, QuarantineDiscarded, QuarantineRetried, Wish


class Submitted(LogRecord):
    """Somebody asks for an operation; this record's offset is the task id.

    `reply_to` is the queue to tell whether the task was accepted (see `schema.notices`); a repeat of a
    `request_id` answers the first one's task; met later than `accept_by` it is refused. Times are seconds
    since the epoch. `traceparent` names the span that caused a record, here and in others; `baggage` is what
    the trace carries along.
    """

    kind: Literal["Submitted"] = "Submitted"
    vm: VmId
    operation: Operation
    request_id: str
    dbg: str
    accept_by: float
    reply_to: str | None = None
    awaited: bool = False
    """Whoever asked waits for the end, not for a task: told by a notice, and the task is then forgotten."""
    deadline: float | None = None
    traceparent: str | None = None
    baggage: tuple[tuple[str, str], ...] = ()


class Refused(LogRecord):
    """The redirector does not accept a task: it never was one. See `is_void` for its `term`."""

    kind: Literal["Refused"] = "Refused"
    vm: VmId
    task: TaskId
    error: Error
    term: Term | None = None


class Merged(LogRecord):
    """A task waits only for the end of an equal, earlier one and ends so. See `is_void` for its `term`."""

    kind: Literal["Merged"] = "Merged"
    vm: VmId
    task: TaskId
    into: TaskId
    traceparent: str | None = None
    term: Term | None = None


class Leased(LogRecord):
    """A worker may run a task: this record is the dispatch, its offset the fencing token."""

    kind: Literal["Leased"] = "Leased"
    vm: VmId
    task: TaskId
    worker: WorkerName
    term: Term
    traceparent: str | None = None


class Started(LogRecord):
    """A worker has begun to run a task, or goes on with it; one that is over soon has only its `Finished`."""

    kind: Literal["Started"] = "Started"
    vm: VmId
    task: TaskId
    token: LeaseToken
    worker: WorkerName
    changed: tuple[ObjectId, ...] = ()


class Parked(LogRecord):
    """An execution waits and holds its lane, but no slot of its worker; `Started` says that it goes on.

    `until` is in seconds since the epoch.
    """

    kind: Literal["Parked"] = "Parked"
    vm: VmId
    task: TaskId
    token: LeaseToken
    until: float


class Progress(LogRecord):
    """How far a task has come: `fraction` in 0..1, subtasks by name, and what has changed meanwhile."""

    kind: Literal["Progress"] = "Progress"
    vm: VmId
    task: TaskId
    token: LeaseToken
    fraction: float
    subtasks: tuple[tuple[str, float], ...] = ()
    debug_info: tuple[tuple[str, str], ...] = ()
    cancellable: bool = True
    changed: tuple[ObjectId, ...] = ()
    atom: str = ""
    atom_began_s: float | None = None
    atoms: tuple[Atom, ...] = ()
    ran_s: float | None = None
    """The atomic under way, of several the last to begin, and when it began; those that have ended since the
    last word (`Finished` has all); how long the task has run. All count from the task's begin."""


class Heartbeat(LogRecord):
    """A worker is alive and still runs these leases."""

    kind: Literal["Heartbeat"] = "Heartbeat"
    worker: WorkerName
    tokens: tuple[LeaseToken, ...] = ()
    stranded: tuple[Stranded, ...] = ()


class Changed(LogRecord):
    """Objects whose state changed outside any task: identity, never content."""

    kind: Literal["Changed"] = "Changed"
    vm: VmId
    changed: tuple[ObjectId, ...]


class Succeeded(LogRecord):
    """How a task ended: well. `result` is a wire value, None for no result."""

    kind: Literal["Succeeded"] = "Succeeded"
    result: Any = None


class Failed(LogRecord):
    """How a task ended: not well. `backtrace` is the original's s-expression."""

    kind: Literal["Failed"] = "Failed"
    error: Error
    backtrace: str = "()"


Outcome = Annotated[Succeeded | Failed, Field(discriminator="kind")]
"""How a task ended."""


class Finished(LogRecord):
    """A task has ended; the first one in the log counts. No `token`: it never ran."""

    kind: Literal["Finished"] = "Finished"
    vm: VmId
    task: TaskId
    outcome: Outcome
    token: LeaseToken | None = None
    duration_s: float = 0.0
    debug_info: tuple[tuple[str, str], ...] = ()
    changed: tuple[ObjectId, ...] = ()
    traceparent: str | None = None
    atoms: tuple[Atom, ...] = ()


class CancelRequested(Wish):
    """Somebody wants a task to stop."""

    kind: Literal["CancelRequested"] = "CancelRequested"
    vm: VmId
    task: TaskId


class TaskDestroyed(LogRecord):
    """A client is done with a task; with `on_finish`, as soon as it has ended."""

    kind: Literal["TaskDestroyed"] = "TaskDestroyed"
    vm: VmId
    task: TaskId
    on_finish: bool = False


class Elected(LogRecord):
    """A redirector leads; this record's offset is its term. `version` is its software's."""

    kind: Literal["Elected"] = "Elected"
    redirector: str
    version: str = ""


class Barrier(LogRecord):
    """UPDATES.inject_barrier: a mark in one VM's changes that a client waits for."""

    kind: Literal["Barrier"] = "Barrier"
    vm: VmId
    barrier: int


class BarrierRemoved(LogRecord):
    """UPDATES.remove_barrier."""

    kind: Literal["BarrierRemoved"] = "BarrierRemoved"
    barrier: int


class LaneHeld(Wish):
    """An operator lets no more of a VM's tasks be leased."""

    kind: Literal["LaneHeld"] = "LaneHeld"
    vm: VmId


class LaneReleased(Wish):
    """An operator lets a VM's tasks be leased again."""

    kind: Literal["LaneReleased"] = "LaneReleased"
    vm: VmId


class LaneShared(LogRecord):
    """A VM has a virtual GPU (MxGPU) that lets only one VM at a time be worked on, or no longer."""

    kind: Literal["LaneShared"] = "LaneShared"
    vm: VmId
    shares: bool


class Reprioritised(Wish):
    """An operator moves a queued task: higher goes first, 0 is usual."""

    kind: Literal["Reprioritised"] = "Reprioritised"
    vm: VmId
    task: TaskId
    priority: int


class DeadlineSet(Wish):
    """An operator says until when a queued task must have begun, or that it may wait for ever: None.

    `deadline` is in seconds since the epoch.
    """

    kind: Literal["DeadlineSet"] = "DeadlineSet"
    vm: VmId
    task: TaskId
    deadline: float | None


class WorkerUp(LogRecord):
    """A worker process serves leases; `epoch` tells its lives apart, `capacity` is VMs at a time."""

    kind: Literal["WorkerUp"] = "WorkerUp"
    worker: WorkerName
    epoch: str
    capacity: int
    version: str = ""


class WorkerDown(LogRecord):
    """A worker process takes no more leases: it stops, or the redirector has lost it."""

    kind: Literal["WorkerDown"] = "WorkerDown"
    worker: WorkerName
    epoch: str


class WorkerDraining(Wish):
    """An operator lets a worker be given nothing new, or lets it work again; lasts through its restarts."""

    kind: Literal["WorkerDraining"] = "WorkerDraining"
    worker: WorkerName
    draining: bool


class ChannelOffered(LogRecord):
    """A migration's source has opened a further channel, perhaps of a disk `device`, for who receives `vm`.

    It waits at `socket`, a frontend's address, for whoever shows `ticket` there.
    """

    kind: Literal["ChannelOffered"] = "ChannelOffered"
    vm: VmId
    channel: Channel
    device: str = ""
    socket: str
    ticket: str


class Removed(LogRecord):
    """A VM is gone: folds forget its objects."""

    kind: Literal["Removed"] = "Removed"
    vm: VmId


class ObserverCreated(LogRecord):
    """Observer.create: what is traced from now on goes to these endpoints, too, while it is `enabled`.

    `request_id` tells whoever wrote an observer's record which one it is when it is read back.
    """

    kind: Literal["ObserverCreated"] = "ObserverCreated"
    request_id: str
    uuid: str
    name: str
    attributes: tuple[tuple[str, str], ...]
    endpoints: tuple[str, ...]
    enabled: bool


class ObserverChanged(LogRecord):
    """Observer.set_enabled, set_attributes, set_endpoints: None is left as it is."""

    kind: Literal["ObserverChanged"] = "ObserverChanged"
    request_id: str
    uuid: str
    enabled: bool | None = None
    attributes: tuple[tuple[str, str], ...] | None = None
    endpoints: tuple[str, ...] | None = None


class ObserverDestroyed(LogRecord):
    """Observer.destroy."""

    kind: Literal["ObserverDestroyed"] = "ObserverDestroyed"
    request_id: str
    uuid: str


class TracingSet(LogRecord):
    """A setting that goes for all observers, by its name in the interface without `Observer.set_`."""

    kind: Literal["TracingSet"] = "TracingSet"
    request_id: str
    setting: str
    value: bool | int | float | str


ObserverRecord = ObserverCreated | ObserverChanged | ObserverDestroyed | TracingSet
"""What is about observers; it stands in a log of its own (see `bus.topology`)."""

Record = Annotated[
    Submitted
    | Refused
    | Merged
    | Leased
    | Started
    | Parked
    | Progress
    | Heartbeat
    | Changed
    | Finished
    | CancelRequested
    | TaskDestroyed
    | Elected
    | Barrier
    | BarrierRemoved
    | LaneHeld
    | LaneReleased
    | LaneShared
    | Reprioritised
    | DeadlineSet
    | WorkerUp
    | WorkerDown
    | WorkerDraining
    | Acted
    | Pinged
    | QuarantineRetried
    | QuarantineDiscarded
    | ChannelOffered
    | Removed
    | Snapshotted
    | LifeBegan
    | ObserverRecord,
    Field(discriminator="kind"),
]
"""All records, told apart by `kind`."""


def is_void(decision: Refused | Merged, term: Term) -> bool:
    """Whether it is the word of a leader whose term was over when it was written, as a lease's would be.

    The next one may have decided otherwise meanwhile. Before decisions had a term, all counted.
    """
    return decision.term is not None and decision.term != term


class Envelope(BaseModel):
    """A record, who made it (fresh per process start), its number there from 1, and when, by the epoch."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    producer: str
    seq: int
    at: float
    instance: InstanceName
    record: Record


ENVELOPE: TypeAdapter[Envelope] = TypeAdapter(Envelope)
