"""Tools: what every execution of a worker uses."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bus.crash import CrashPoints
from schema.ids import InstanceName, TaskId
from schema.objects.dynamic import ObjectId
from schema.operations import VmCheckState
from schema.records import Record
from traces import Tracer

from engine.backend import Backend
from engine.branches import Branches
from engine.cancellation import Cancellation
from engine.hooks import Hooks
from engine.journal import Journal
from engine.lock import VmLocks
from engine.migrate.offers import Offers
from engine.migrate.wire import Network
from engine.perform.context import Context
from engine.store import Store
from engine.threads import Threads


@dataclass(frozen=True, slots=True)
class Tools:
    """What every execution of a worker uses. `append` writes to the instance's log, from any thread."""

    store: Store
    backend: Backend
    hooks: Hooks
    journal: Journal
    locks: VmLocks
    threads: Threads
    network: Network
    tracer: Tracer
    resubmit: Callable[[VmCheckState], None]
    """Has a check done as a task of its own, after all that its VM's lane has."""

    instance: InstanceName
    append: Callable[[Record], None]
    offers: Offers
    running: Callable[[], int]
    """How many tasks this worker has under way, those that wait without a thread aside; from any thread."""

    crash: CrashPoints = field(default_factory=CrashPoints)

    @property
    def branches(self) -> Branches:
        """Threads for what an execution does at once."""
        return self.threads.branches

    def context(self, signal: Callable[[ObjectId], None]) -> Context:
        """Where atomics are performed; `signal` is told what has changed."""
        return Context(self.store, self.backend, self.hooks, signal, self.threads.clock)

    def cancellation(self, task: TaskId, trigger: int | None = None) -> Cancellation:
        """Whether a task shall stop; `trigger` as of `Cancellation`."""
        return Cancellation(task, trigger, self.threads.flag)
