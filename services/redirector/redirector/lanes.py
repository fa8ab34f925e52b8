"""Lanes: what waits for each VM, in which order, and whose turn it is; every step O(1) or O(log n)."""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from schema.ids import TaskId, VmId
from schema.operations import Operation

from redirector.merge import coalesces


@dataclass(slots=True)
class Waiting:
    """A task in a lane."""

    id: TaskId
    vm: VmId
    operation: Operation
    request_id: str
    reply_to: str | None
    accept_by: float
    deadline: float | None
    priority: int = 0


@dataclass(slots=True)
class Lane:
    """One VM's tasks: at most one is leased, the others wait by priority, then by age.

    `checks` are those that wait and serve all equal ones that come. A task that leaves early stays in the
    heap as a gap, told by its absence from `waiting`.
    """

    waiting: dict[TaskId, Waiting] = field(default_factory=dict)
    checks: dict[Operation, TaskId] = field(default_factory=dict)
    heap: list[tuple[int, TaskId]] = field(default_factory=list)
    leased: TaskId | None = None
    held: bool = False

    def leasable(self) -> bool:
        """Whether its next task may go."""
        return bool(self.waiting) and self.leased is None and not self.held

    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not self.waiting and self.leased is None and not self.held


class Lanes:
    """All lanes of an instance, and the circle of those whose next task may go."""

    def __init__(self) -> None:
        self._lanes: dict[VmId, Lane] = {}
        self._circle: OrderedDict[VmId, None] = OrderedDict()
        self._vm_of: dict[TaskId, VmId] = {}

    def __len__(self) -> int:
        """How many tasks wait in all lanes together."""
        return len(self._vm_of)

    def depth(self, vm: VmId) -> int:
        """How many tasks wait for one VM."""
        lane = self._lanes.get(vm)
        return len(lane.waiting) if lane else 0

    def find(self, task: TaskId) -> Waiting | None:
        """A task that waits."""
        vm = self._vm_of.get(task)
        return None if vm is None else self._lanes[vm].waiting[task]

    def all(self) -> Iterator[Waiting]:
        """All that wait, for any VM."""
        for task, vm in self._vm_of.items():
            yield self._lanes[vm].waiting[task]

    def waiting(self, vm: VmId) -> list[Waiting]:
        """All that wait for a VM, oldest first."""
        lane = self._lanes.get(vm)
        return list(lane.waiting.values()) if lane else []

    def leased(self, vm: VmId) -> TaskId | None:
        """The task of a VM that is leased."""
        lane = self._lanes.get(vm)
        return lane.leased if lane else None

    def earlier_check(self, task: TaskId) -> TaskId | None:
        """The check equal to a waiting one that has waited longer than it."""
        lane = self._lanes[self._vm_of[task]]
        operation = lane.waiting[task].operation
        earlier = lane.checks.get(operation) if coalesces(operation) else None
        return earlier if earlier != task else None

    def push(self, task: Waiting) -> None:
        """A task waits from now on."""
        lane = self._lanes.setdefault(task.vm, Lane())
        lane.waiting[task.id] = task
        if coalesces(task.operation):
            lane.checks.setdefault(task.operation, task.id)
        heapq.heappush(lane.heap, (-task.priority, task.id))
        self._vm_of[task.id] = task.vm
        self._turn(task.vm)

    def remove(self, task: TaskId) -> Waiting | None:
        """A task waits no more; answers it if it did."""
        vm = self._vm_of.pop(task, None)
        if vm is None:
            return None
        lane = self._lanes[vm]
        removed = lane.waiting.pop(task)
        if coalesces(removed.operation) and lane.checks.get(removed.operation) == task:
            del lane.checks[removed.operation]
        self._turn(vm)
        return removed

    def reprioritise(self, task: TaskId, priority: int) -> None:
        """A waiting task has another priority: higher goes first."""
        found = self.remove(task)
        if found is not None:
            found.priority = priority
            self.push(found)

    def lease(self, task: TaskId) -> None:
        """A waiting task is leased: its lane waits for its end."""
        found = self.remove(task)
        if found is not None:
            self._lanes.setdefault(found.vm, Lane()).leased = task
            self._turn(found.vm)

    def occupy(self, vm: VmId, task: TaskId) -> None:
        """A lane is taken by a task that may not have waited here."""
        self.lease(task)
        self._lanes.setdefault(vm, Lane()).leased = task
        self._turn(vm)

    def release(self, vm: VmId, task: TaskId) -> None:
        """The leased task has ended."""
        lane = self._lanes.get(vm)
        if lane is not None and lane.leased == task:
            lane.leased = None
            self._turn(vm)

    def hold(self, vm: VmId, *, held: bool) -> None:
        """Let nothing more go from a lane, or let it go again."""
        self._lanes.setdefault(vm, Lane()).held = held
        self._turn(vm)

    def next(self) -> Waiting | None:
        """The task whose turn it is; lanes take turns. It waits until it is leased."""
        if not self._circle:
            return None
        vm = next(iter(self._circle))
        lane = self._lanes[vm]
        while not _is_current(lane, lane.heap[0]):
            heapq.heappop(lane.heap)
        return lane.waiting[lane.heap[0][1]]

    def _turn(self, vm: VmId) -> None:
        """Put a lane at the end of the circle or take it out, by whether its next task may go."""
        lane = self._lanes[vm]
        if lane.leasable():
            self._circle.setdefault(vm)
            return
        self._circle.pop(vm, None)
        if lane.idle():
            del self._lanes[vm]


def _is_current(lane: Lane, place: tuple[int, TaskId]) -> bool:
    """Whether a place in the heap is no gap: its task waits, with that priority."""
    priority, task = place
    return task in lane.waiting and lane.waiting[task].priority == -priority
