"""Lanes and workers, as operators see them: what waits, in which order, who runs what, what is in the way."""

from schema.wire.types import Struct, wire_default


class WaitingTask(Struct, wire="waiting_task"):
    """A task that waits. Times are in seconds since the epoch; a higher priority goes first, 0 is usual."""

    task: str
    operation: str
    since: float
    priority: int
    deadline: float | None = None


class LeasedTask(Struct, wire="leased_task"):
    """A task that a worker runs; `token` is the offset of its lease, none while that is being written."""

    task: str
    operation: str
    worker: str
    since: float
    token: int | None = None
    parked: bool


class Lane(Struct, wire="lane"):
    """One VM's tasks. `blocked` says why the next one does not go; empty: none waits, or it goes now."""

    vm: str
    held: bool
    blocked: str
    waiting: int
    leased: LeasedTask | None = None


class LaneTasks(Struct, wire="lane_tasks"):
    """A lane with what waits in it, the next one first."""

    lane: Lane
    tasks: tuple[WaitingTask, ...]


class Lanes(Struct, wire="lanes"):
    """So many lanes as were asked for, of all that there are, and how many tasks wait in all of them."""

    total: int
    waiting: int
    lanes: tuple[Lane, ...]


class StrandedVm(Struct, wire="stranded_vm"):
    """What stands on a host under a temporary id though its migration has ended; `own` is the VM's own id.

    `state`: kept (nobody knows whether it runs at `where`), left over (it goes as soon as it can) or overdue
    (it has arrived, and takes its name as soon as it can). Of what came `where` is empty.
    """

    id: str
    own: str
    state: str
    where: str


class Worker(Struct, wire="worker"):
    """A worker: `state` is up, missed, down, draining or drained; `leases` counts what it has under way.

    `busy` of its `capacity` slots are taken: what waits for a time takes none. `silent_s`: for how long
    nothing was heard of it. `stranded`: some 20 at the most; workers of a host name the same.
    """

    worker: str
    state: str
    capacity: int
    busy: int
    leases: int
    silent_s: float
    stranded: tuple[StrandedVm, ...] = wire_default(())
