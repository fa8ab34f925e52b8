"""Tasks: a caller's own task object bound to xenops tasks: progress in, cancel out, result and error.

After xapi's sync_with_task, update_task and task_cancel.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.task import Completion, Pending, Task

from xenops.client import Client
from xenops.events import outcome_of
from xenops.toolstack.watch import Watcher

Span = tuple[float, float]
"""Which part of the caller's task one xenops task is."""

WHOLE: Span = (0.0, 1.0)


class ForeignTask(Protocol):
    """Whatever the caller shows its own users while an operation runs; called on the watcher's threads."""

    def runs(self, cancel: Callable[[], None]) -> None:
        """From now on `cancel` asks the operation to stop. Who was cancelled before calls it at once."""

    def progressed(self, fraction: float, *, cancellable: bool) -> None:
        """How far the operation is."""

    def completed(self, result: Any) -> None:
        """The operation has succeeded; with what its last xenops task answered."""

    def failed(self, error: Exception) -> None:
        """The operation has failed, or was cancelled."""


class Silent:
    """A task that nobody watches."""

    def runs(self, cancel: Callable[[], None]) -> None:
        """Nobody cancels."""

    def progressed(self, fraction: float, *, cancellable: bool) -> None:
        """Nobody looks."""

    def completed(self, result: Any) -> None:
        """Nobody asks."""

    def failed(self, error: Exception) -> None:
        """Whoever called is told by the exception."""


def update_task(foreign: ForeignTask, task: Task, span: Span = WHOLE, *, cancellable: bool = True) -> None:
    """Tell a caller's task how far a xenops task is."""
    begin, end = span
    done = task.state.progress if isinstance(task.state, Pending) else 1.0
    foreign.progressed(begin + done * (end - begin), cancellable=cancellable and task.cancellable)


def sync_with_task(
    watcher: Watcher, foreign: ForeignTask, task: str, span: Span = WHOLE, *, cancellable: bool = True
) -> Completion:
    """Bind a caller's task to a xenops task, wait for its end and destroy it; answers duration and result.

    The caller's task is neither completed nor failed by this: the operation may have further steps.

    Raises:
        XenopsError: the task failed.
        TaskGoneError: somebody else destroyed it.
        WatcherStoppedError: the watcher was stopped; the task goes on.
    """
    client = watcher.client
    ended = watcher.task_ended(task, lambda seen: update_task(foreign, seen, span, cancellable=cancellable))
    if cancellable:
        foreign.runs(lambda: cancel_task(client, task))
    last = ended.result()
    with suppress(XenopsError, BusError):  # the task has ended: what is left of it costs its user nothing
        client.task.destroy(task)
    return outcome_of(last)


def cancel_task(client: Client, task: str) -> None:
    """Ask a task to stop; one that has ended in the meantime is left as it is."""
    with suppress(XenopsError):
        client.task.cancel(task)


def clean_up_orphans(client: Client, is_orphan: Callable[[Task], bool]) -> tuple[str, ...]:
    """Stop and destroy the tasks that nobody waits for any more; answers them.

    A toolstack that was restarted has forgotten what it waited for: its own are those with its name as `dbg`
    that it has not submitted since.
    """
    orphans = [task for task in client.task.list() if is_orphan(task)]
    for task in orphans:
        with suppress(XenopsError):  # it has ended, or is gone, in the meantime
            if isinstance(task.state, Pending):
                client.task.cancel(task.id)
            client.task.destroy_on_finish(task.id)
    return tuple(task.id for task in orphans)
