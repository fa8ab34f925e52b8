"""Parking: tasks that wait for a time without a thread; each goes on when it has come, or when woken."""

import itertools
import threading
from collections.abc import Callable

from schema.ids import TaskId

_NAP_S_MAX = 3600.0
"""How long a timer runs at most: a task may wait for ever."""

Later = Callable[[float, Callable[[], None]], None]
"""Does an action once, after so many seconds."""


class Parking:
    """Any number of tasks; `go_on` is called once for each, by a timer or by who wakes one."""

    def __init__(self, go_on: Callable[[TaskId], None], later: Later) -> None:
        self._go_on = go_on
        self._later = later
        self._parked: dict[TaskId, int] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._closed = False

    def put(self, task: TaskId, delay_s: float) -> None:
        """Let a task wait for so long."""
        with self._lock:
            number = self._parked[task] = next(self._numbers)
        self._wait(task, number, delay_s)

    def wake(self, task: TaskId) -> None:
        """Let it go on now; one that does not wait is left alone."""
        with self._lock:
            woken = not self._closed and self._parked.pop(task, None) is not None
        if woken:
            self._go_on(task)

    def __contains__(self, task: TaskId) -> bool:
        return task in self._parked

    def __len__(self) -> int:
        """How many wait now."""
        return len(self._parked)

    def close(self) -> None:
        """Nothing goes on any more."""
        with self._lock:
            self._closed = True

    def _wait(self, task: TaskId, number: int, delay_s: float) -> None:
        nap_s = min(delay_s, _NAP_S_MAX)
        self._later(max(0.0, nap_s), lambda: self._on_timer(task, number, delay_s - nap_s))

    def _on_timer(self, task: TaskId, number: int, rest_s: float) -> None:
        """A timer of one that was woken meanwhile, and maybe put again, means nothing."""
        if self._parked.get(task) != number:
            return
        if rest_s > 0:
            self._wait(task, number, rest_s)
        else:
            self.wake(task)
