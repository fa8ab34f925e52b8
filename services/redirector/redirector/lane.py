"""Lane: one VM's tasks in the order in which they go: by priority, then by age; every step O(log n)."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schema.debug_info import Baggage
from schema.ids import TaskId, VmId

from redirector.brief import Brief, Stop

_IDS = 1 << 64
"""More than there are offsets in a log: a rank is a task's id, less this for each step of its priority."""

GAPS_MIN = 16
"""So many gaps in a lane's order are not worth the work of closing them."""


@dataclass(slots=True)
class Waiting:
    """A task that waits, or did before it was leased. Times are in seconds since the epoch.

    `since`: when it was submitted, by the clock of whoever did. `traceparent` names the span that caused it.
    """

    id: TaskId
    vm: VmId
    brief: Brief
    request_id: str
    since: float
    accept_by: float
    reply_to: str | None = None
    deadline: float | None = None
    awaited: bool = False
    priority: int = 0
    traceparent: str | None = None
    baggage: Baggage = ()

    @property
    def rank(self) -> int:
        """Its place in its lane: the lowest goes first."""
        return self.id - self.priority * _IDS if self.priority else self.id


@dataclass(slots=True)
class Lane:
    """At most one task is leased, the others wait.

    What leaves early stays in the order as a gap until there are more gaps than tasks. `checks` are those
    that wait and serve all equal ones that come; `stops` the clean ones that wait. Both are there only while
    they hold something, for most lanes never have any. `running` is the leased task.
    """

    vm: VmId
    tasks: dict[TaskId, Waiting] = field(default_factory=dict)
    running: Waiting | None = None
    held: bool = False
    _order: list[int] = field(default_factory=list)
    _checks: dict[str, TaskId] | None = None
    _stops: dict[TaskId, None] | None = None

    @property
    def leased(self) -> TaskId | None:
        """The leased task."""
        return None if self.running is None else self.running.id

    def leasable(self) -> bool:
        """Whether its next task may go."""
        return bool(self.tasks) and self.running is None and not self.held

    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not self.tasks and self.running is None and not self.held

    def push(self, task: Waiting) -> None:
        """A task waits from now on."""
        self.tasks[task.id] = task
        heapq.heappush(self._order, task.rank if task.priority else task.id)
        self._note((task,))

    def fill(self, tasks: list[Waiting]) -> None:
        """All these wait from now on, oldest first."""
        if self.tasks:
            for task in tasks:
                self.push(task)
            return
        self.tasks = {task.id: task for task in tasks}
        self._order = sorted([task.rank if task.priority else task.id for task in tasks])
        self._note(tasks)

    def _note(self, tasks: Iterable[Waiting]) -> None:
        """Those that are checks, or clean stops, wait from now on."""
        for task in tasks:
            check = task.brief.check
            if check is not None:
                self._checks = {} if self._checks is None else self._checks
                self._checks[check] = min(task.id, self._checks.get(check, task.id))
            if task.brief.stop is Stop.CLEAN:
                self._stops = {} if self._stops is None else self._stops
                self._stops[task.id] = None

    def pop(self, id_: TaskId) -> Waiting:
        """A task of those here waits no more."""
        task = self.tasks.pop(id_)
        check = task.brief.check
        if self._checks is not None and check is not None and self._checks.get(check) == id_:
            del self._checks[check]
            self._checks = self._checks or None
        if self._stops is not None:
            self._stops.pop(id_, None)
            self._stops = self._stops or None
        if len(self._order) > 2 * len(self.tasks) + GAPS_MIN:
            self._order = sorted(task.rank for task in self.tasks.values())
        return task

    def head(self) -> Waiting:
        """The next task of a lane in which some wait."""
        while True:
            rank = self._order[0]
            task = self.tasks.get(TaskId(rank % _IDS))
            if task is not None and task.rank == rank:
                return task
            heapq.heappop(self._order)  # a gap

    def in_order(self) -> list[Waiting]:
        """All that wait, the next one first."""
        return sorted(self.tasks.values(), key=lambda task: task.rank)

    def earlier_check(self, task: Waiting) -> TaskId | None:
        """The check equal to a waiting one that has waited longer than it."""
        if self._checks is None or task.brief.check is None:
            return None
        earlier = self._checks.get(task.brief.check)
        return None if earlier == task.id else earlier

    def clean_stops_before(self, id_: TaskId) -> Iterator[Waiting]:
        """The clean stops that have waited longer than a task."""
        return (self.tasks[stop] for stop in self._stops or () if stop < id_)
