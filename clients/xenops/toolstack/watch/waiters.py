"""Waiters: who waits for a task's end or for a barrier. Futures, so that waiting costs no thread."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from schema.objects.task import Pending, Task

_log = logging.getLogger("xenops.toolstack")


class TaskGoneError(Exception):
    """A task that was waited for has been destroyed; how it ended is not known."""


class WatcherStoppedError(Exception):
    """The watcher was stopped before what was waited for came; the task, if it was one, goes on."""


@dataclass(slots=True)
class _Awaited:
    futures: list[Future[Task]] = field(default_factory=list)
    listeners: list[Callable[[Task], None]] = field(default_factory=list)


class Waiters:
    """Everybody who waits; methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, _Awaited] = {}
        self._barriers: dict[int, tuple[str, Future[None]]] = {}
        self._count = 0
        self._closed = False

    def await_task(self, task: str, on_change: Callable[[Task], None] | None) -> Future[Task]:
        """A future of a task as it ended."""
        ended: Future[Task] = Future()
        with self._lock:
            if self._closed:
                ended.set_exception(_stopped(f"task {task}"))
                return ended
            awaited = self._tasks.setdefault(task, _Awaited())
            awaited.futures.append(ended)
            if on_change is not None:
                awaited.listeners.append(on_change)
        return ended

    def tasks(self) -> set[str]:
        """The tasks that somebody waits for."""
        with self._lock:
            return set(self._tasks)

    def task_changed(self, task: Task) -> None:
        """A task as it is now, for all who wait for it."""
        with self._lock:
            ended = not isinstance(task.state, Pending)
            awaited = self._tasks.pop(task.id, None) if ended else self._tasks.get(task.id)
            listeners = tuple(awaited.listeners) if awaited else ()
        for listener in listeners:
            try:
                listener(task)
            except Exception:  # noqa: BLE001  the waiter is served though its listener fails
                _log.exception("a listener of task %s failed", task.id)
        if awaited and ended:
            for future in awaited.futures:
                with suppress(InvalidStateError):  # its owner cancelled it
                    future.set_result(task)

    def task_gone(self, task: str, error: Exception) -> None:
        """A task is no more."""
        with self._lock:
            awaited = self._tasks.pop(task, None)
        for future in awaited.futures if awaited else ():
            with suppress(InvalidStateError):  # its owner cancelled it
                future.set_exception(error)

    def await_barrier(self, vm: str, base: int) -> tuple[int, Future[None]]:
        """A barrier's id that nobody else has, `base` and a count, and a future that ends when it is met."""
        reached: Future[None] = Future()
        with self._lock:
            barrier, self._count = base + self._count, self._count + 1
            if self._closed:
                reached.set_exception(_stopped(f"the VM {vm}"))
            else:
                self._barriers[barrier] = vm, reached
        return barrier, reached

    def vm_of(self, barrier: int) -> str | None:
        """Whose barrier it is; None for one that somebody else put up, or that was met."""
        with self._lock:
            known = self._barriers.get(barrier)
        return known[0] if known else None

    def barrier_reached(self, barrier: int) -> None:
        """All before a barrier has been looked at."""
        with self._lock:
            known = self._barriers.pop(barrier, None)
        if known:
            with suppress(InvalidStateError):  # its owner cancelled it
                known[1].set_result(None)

    def close(self) -> None:
        """Nobody waits any longer, nor from now on."""
        with self._lock:
            self._closed = True
            tasks, self._tasks = self._tasks, {}
            barriers, self._barriers = self._barriers, {}
        for task, awaited in tasks.items():
            for future in awaited.futures:
                with suppress(InvalidStateError):  # its owner cancelled it
                    future.set_exception(_stopped(f"task {task}"))
        for vm, reached in barriers.values():
            with suppress(InvalidStateError):  # its owner cancelled it
                reached.set_exception(_stopped(f"the VM {vm}"))


def _stopped(what: str) -> WatcherStoppedError:
    return WatcherStoppedError(f"waiting for {what}: the watcher was stopped")
