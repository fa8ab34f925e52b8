"""Deadlines: which waiting tasks must have begun by when; every step O(log n)."""

import heapq

from schema.ids import TaskId

from redirector.lane import Waiting
from redirector.lanes import Lanes

STALE_MIN = 1_000
"""So many deadlines of tasks that wait no more are not worth the work of forgetting them."""


class Deadlines:
    """An instance's deadlines, soonest first; one that is not its task's any more is passed over."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._soonest: list[tuple[float, TaskId]] = []

    def __len__(self) -> int:
        """How many are remembered, with those that are passed over."""
        return len(self._soonest)

    def note(self, task: Waiting) -> None:
        """A task that waits has its deadline, if it has one, from now on, or again."""
        if task.deadline is None:
            return
        if len(self._soonest) > 2 * len(self._lanes) + STALE_MIN:
            self.fill()
        heapq.heappush(self._soonest, (task.deadline, task.id))

    def fill(self) -> None:
        """All tasks that wait have their deadlines, and nobody else has."""
        self._soonest = [
            (found.deadline, found.id) for found in self._lanes.every() if found.deadline is not None
        ]
        heapq.heapify(self._soonest)

    def passed(self, now: float) -> list[TaskId]:
        """The waiting tasks whose deadlines have passed; each is told once, unless it is noted again."""
        passed: dict[TaskId, None] = {}
        while self._soonest and self._soonest[0][0] < now:
            deadline, task = heapq.heappop(self._soonest)
            found = self._lanes.find(task)
            if found is not None and found.deadline == deadline:
                passed[task] = None
        return list(passed)
