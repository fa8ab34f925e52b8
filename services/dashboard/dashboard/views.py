"""Views: what the API answers and the page shows. Times are seconds since the epoch, durations seconds."""

from typing import Any, Literal

from bus.stories.story import State
from pydantic import BaseModel, ConfigDict, Field


class View(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Problem(View):
    """Why something was not done, and what to do."""

    detail: str


class AtomView(View):
    """An atomic that a task has performed; `began_s` counts from the task's begin."""

    kind: str
    began_s: float
    took_s: float
    failed: bool


class TaskView(View):
    """A task; `age_s` is how long ago it was asked for."""

    id: int
    vm: str
    operation: str
    dbg: str
    state: State
    submitted_at: float
    age_s: float
    waited_s: float | None
    priority: int
    deadline: float | None
    worker: str
    token: int | None
    leased_at: float | None
    ran_s: float | None = Field(description="How long it ran, or has been running since its lease.")
    attempts: int = Field(description="How many leases it had: more than one, where workers were lost.")
    progress: float
    atom: str = Field(description="The atomic that is being performed, while one is.")
    cancellable: bool
    cancel_at: float | None
    cancel_by: str = Field(
        description="What calls itself so has asked for that; the token's holder is proved."
    )
    into: int | None = Field(description="The task that it was merged into.")
    ended_at: float | None
    duration_s: float
    error: str = Field(description="Why it failed, in words.")
    error_kind: str = Field(description="The same by its name in the interface, as `Bad_power_state`.")
    trace: str = Field(description="The id of its trace, where one is kept.")


class TaskDetail(TaskView):
    """A task, with its steps so far and those that were merged into it."""

    atoms: tuple[AtomView, ...]
    followers: tuple[int, ...]


class TasksView(View):
    """Some of the tasks that are known, the newest first."""

    total: int
    tasks: tuple[TaskView, ...]


class LaneView(View):
    """What waits for a VM and what runs. `blocked`: why the next one does not go, as the redirector says."""

    vm: str
    held_at: float | None
    blocked: str
    waiting: int
    merged: int
    oldest_s: float | None
    running: TaskView | None
    heard_s: float | None = Field(description="How long ago the worker that runs it was heard of.")


class LaneDetail(LaneView):
    """A lane with all that waits in it, in its order."""

    tasks: tuple[TaskView, ...]


class LanesView(View):
    """Some of the lanes in which anything is, those that wait longest first.

    `complete`: the redirector has said why they wait.
    """

    total: int
    waiting: int
    running: int
    complete: bool
    lanes: tuple[LaneView, ...]


class StrandedView(View):
    """What stands under a temporary id though its migration has ended; `state`: kept, left over, overdue."""

    id: str
    vm: str = Field(description="Its own id.")
    state: str
    where: str = Field(description="The other host, where it is known.")


class WorkerView(View):
    """A worker. `state`: up, missed, down, draining, drained, as the redirector says; else unknown."""

    name: str
    state: str
    capacity: int
    busy: int
    leases: int
    silent_s: float | None
    draining: bool
    epoch: str
    version: str = Field(description="Of its software, where it says.")
    stranded: tuple[StrandedView, ...] = Field(description="On its host; 20 at the most.")


class HealthView(View):
    """A service, or the broker: ok, slow (or deaf), or out, and why."""

    service: str
    state: Literal["ok", "slow", "out"]
    said: str
    took_s: float | None
    version: str = Field(description="Of its software, where it says; the broker's stands in `said`.")


class BarrierView(View):
    """A mark in a VM's changes that a client waits for."""

    id: int
    vm: str
    offset: int
    age_s: float


class ReadersView(View):
    """Clients that wait in UPDATES.get; `behind`: so many changes they have not been told."""

    token: int
    count: int
    behind: int


class EventsView(View):
    """The stream of updates, as the event hub that answered knows it."""

    token: int
    seen: int
    objects: int
    behind: int = Field(
        description="Entries of the log that this process has read and the event hub has not."
    )
    readers: tuple[ReadersView, ...]
    barriers: tuple[BarrierView, ...]


class ActionView(View):
    """What an operator asked for."""

    offset: int
    at: float
    who: str
    action: str
    subject: str
    proved: bool = Field(description="By a token; else `who` is what a client of the broker calls himself.")


class SampleView(View):
    """Some seconds of the last hour."""

    at: float
    waiting: int
    running: int
    ended: int
    failed: int
    wait_p50_s: float | None
    wait_p95_s: float | None
    run_p50_s: float | None
    run_p95_s: float | None


class OverviewView(View):
    """One instance at a glance. `trouble`: why the picture may be old."""

    instance: str
    trouble: str
    leader: str
    offset: int
    lanes: int
    held: int
    waiting: int
    running: int
    merged: int
    oldest_s: float | None
    capacity: int
    workers: int
    stranded: int = Field(description="VMs that migrations have left under temporary ids, as workers name.")
    quarantined: int
    ping_s: float | None
    health: tuple[HealthView, ...]


class EntryView(View):
    """An entry of the log."""

    offset: int
    at: float
    producer: str
    kind: str
    vm: str
    record: dict[str, Any]


class LogView(View):
    """Some entries of the log, the newest first; `first` is the oldest that is kept here."""

    first: int | None
    entries: tuple[EntryView, ...]


class QuarantinedView(View):
    """A message of the log that no service takes; `shown` is its beginning, escaped."""

    log: str
    offset: int
    reason: str
    routing_key: str
    user: str
    producer: str
    seq: int
    at: float
    size: int
    shown: str
    done: str = Field(description="What an operator has had done with it: retried or discarded.")
    by: str = Field(description="Which operator.")
    no_retry: str = Field(description="Why it cannot be appended anew; empty where it can.")


class QuarantineView(View):
    """The newest of all such messages."""

    total: int
    records: tuple[QuarantinedView, ...]


class Done(View):
    """What was asked for is done, and stands in the log."""

    done: str
