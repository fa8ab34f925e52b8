"""Records: everything that may stand in the log, and the envelope it travels in."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schema.ids import InstanceName, LeaseToken, TaskId, Term, VmId, WorkerName
from schema.objects.dynamic import ObjectId
from schema.objects.errors import Error
from schema.operations import Operation


class LogRecord(BaseModel):
    """A fact or a wish, once appended never changed. Unknown keys of a newer writer are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Submitted(LogRecord):
    """Somebody asks for an operation; this record's offset is the task id.

    `reply_to` is the queue to tell whether the task was accepted (see `schema.notices`); a repeat of a
    `request_id` answers the first one's task; met later than `accept_by` it is refused. Times are seconds
    since the epoch.
    """

    kind: Literal["Submitted"] = "Submitted"
    vm: VmId
    operation: Operation
    request_id: str
    dbg: str
    accept_by: float
    reply_to: str | None = None
    deadline: float | None = None
    traceparent: str | None = None


class Refused(LogRecord):
    """The redirector does not accept a task: it never was one."""

    kind: Literal["Refused"] = "Refused"
    vm: VmId
    task: TaskId
    error: Error


class Merged(LogRecord):
    """A task waits for nothing but the end of an equal, earlier one and ends as that one does."""

    kind: Literal["Merged"] = "Merged"
    vm: VmId
    task: TaskId
    into: TaskId


class Leased(LogRecord):
    """A worker may run a task: this record is the dispatch, its offset the fencing token."""

    kind: Literal["Leased"] = "Leased"
    vm: VmId
    task: TaskId
    worker: WorkerName
    term: Term


class Started(LogRecord):
    """A worker has begun to run a task."""

    kind: Literal["Started"] = "Started"
    vm: VmId
    task: TaskId
    token: LeaseToken
    worker: WorkerName
    changed: tuple[ObjectId, ...] = ()


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


class Heartbeat(LogRecord):
    """A worker is alive and still runs these leases."""

    kind: Literal["Heartbeat"] = "Heartbeat"
    worker: WorkerName
    tokens: tuple[LeaseToken, ...] = ()


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


class CancelRequested(LogRecord):
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
    """A redirector leads; this record's offset is its term."""

    kind: Literal["Elected"] = "Elected"
    redirector: str


class Barrier(LogRecord):
    """UPDATES.inject_barrier: a mark in one VM's changes that a client waits for."""

    kind: Literal["Barrier"] = "Barrier"
    vm: VmId
    barrier: int


class BarrierRemoved(LogRecord):
    """UPDATES.remove_barrier."""

    kind: Literal["BarrierRemoved"] = "BarrierRemoved"
    barrier: int


class LaneHeld(LogRecord):
    """An operator lets no more of a VM's tasks be leased."""

    kind: Literal["LaneHeld"] = "LaneHeld"
    vm: VmId


class LaneReleased(LogRecord):
    """An operator lets a VM's tasks be leased again."""

    kind: Literal["LaneReleased"] = "LaneReleased"
    vm: VmId


class Reprioritised(LogRecord):
    """An operator moves a queued task: higher goes first, 0 is usual."""

    kind: Literal["Reprioritised"] = "Reprioritised"
    vm: VmId
    task: TaskId
    priority: int


class WorkerUp(LogRecord):
    """A worker process serves leases; `epoch` tells its lives apart, `capacity` is VMs at a time."""

    kind: Literal["WorkerUp"] = "WorkerUp"
    worker: WorkerName
    epoch: str
    capacity: int


class WorkerDown(LogRecord):
    """A worker process takes no more leases: it stops, or the redirector has lost it."""

    kind: Literal["WorkerDown"] = "WorkerDown"
    worker: WorkerName
    epoch: str


class Removed(LogRecord):
    """A VM is gone: folds forget its objects."""

    kind: Literal["Removed"] = "Removed"
    vm: VmId


Record = Annotated[
    Submitted
    | Refused
    | Merged
    | Leased
    | Started
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
    | Reprioritised
    | WorkerUp
    | WorkerDown
    | Removed,
    Field(discriminator="kind"),
]
"""All records, told apart by `kind`."""


class Envelope(BaseModel):
    """What is appended: a record, who made it (fresh per process start), its number there from 1, and when.

    `at` is in seconds since the epoch by the producer's clock.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    producer: str
    seq: int
    at: float
    instance: InstanceName
    record: Record


ENVELOPE: TypeAdapter[Envelope] = TypeAdapter(Envelope)
