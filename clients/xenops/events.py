"""Events: waiting for changes and for tasks, as the original's clients do.

Both loop on UPDATES.get, which blocks until something changes; nothing is polled. A task is asked for only
when it is told to have changed, or was not for a while: it may have been destroyed, or the event hub that was
asked last may have known less than the one that told of the task.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bus.ports import BusError
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId, TaskObject
from schema.objects.errors import Error
from schema.objects.task import Completed, Completion, Failed, Pending, Task
from schema.wire.codec import from_rpc
from schema.wire.errors import MarshalError

from xenops.client import Client

GET_TIMEOUT_S = 30
"""How long one UPDATES.get waits; the wait as a whole goes on."""


class WaitTimeoutError(Exception):
    """What was waited for has not come in time; nothing was cancelled."""


@dataclass(frozen=True, slots=True)
class _Until:
    """When to give up waiting for something."""

    what: str
    deadline: float | None
    timeout_s: float | None

    def next_get_s(self) -> int:
        """How long the next UPDATES.get may wait."""
        if self.deadline is None:
            return GET_TIMEOUT_S
        remaining_s = self.deadline - time.monotonic()
        if remaining_s <= 0:
            raise WaitTimeoutError(f"{self.what}: not within {self.timeout_s:g} s; it goes on")
        return min(GET_TIMEOUT_S, max(1, round(remaining_s)))


def _until(what: str, timeout_s: float | None) -> _Until:
    return _Until(what, None if timeout_s is None else time.monotonic() + timeout_s, timeout_s)


def event_wait(
    client: Client,
    token: int | None,
    predicate: Callable[[ObjectId], bool],
    *,
    timeout_s: float | None = None,
) -> int:
    """Wait until an object changes of which `predicate` is true; answers the token to go on from.

    Raises:
        WaitTimeoutError: not within `timeout_s`.
    """
    until = _until("waiting for a change", timeout_s)
    while True:
        _, objects, token = client.updates.get(token, until.next_get_s())
        if any([predicate(changed) for changed in objects]):  # noqa: C419  all are to be seen
            return token


def wait_for_task(
    client: Client,
    task: str,
    timeout_s: float | None = None,
    on_progress: Callable[[Task], None] | None = None,
    *,
    destroy: bool = True,
) -> Completion:
    """Wait until a task ends; answers its duration and result.

    `on_progress` is given the task at once and whenever it changes. `destroy` forgets it in the end, however
    it ended; after a timeout it is left alone, and goes on.

    Raises:
        XenopsError: the task failed; or it is not known.
        WaitTimeoutError: not within `timeout_s`.
    """
    ended = _last_stat(client, task, _until(f"task {task}", timeout_s), on_progress or _ignore)
    if destroy:
        client.task.destroy(task)
    return outcome_of(ended)


def _last_stat(client: Client, task: str, until: _Until, on_progress: Callable[[Task], None]) -> Task:
    token = client.updates.last_id()
    ours = TaskObject(id=task)
    told, looked_at = True, 0.0
    while True:
        if told:
            looked_at = time.monotonic()
            seen = client.task.stat(task)
            on_progress(seen)
            if not isinstance(seen.state, Pending):
                return seen
        objects, token = _news(client, token, until)
        told = not objects or ours in objects or time.monotonic() - looked_at >= GET_TIMEOUT_S


def _news(client: Client, token: int, until: _Until) -> tuple[Sequence[ObjectId], int]:
    """What has changed; nothing, if whoever was asked has died: the task is looked at all the same."""
    try:
        _, objects, newest = client.updates.get(token, until.next_get_s())
    except BusError:
        return (), token
    return objects, newest


def outcome_of(task: Task) -> Completion:
    """How an ended task ended.

    Raises:
        XenopsError: it failed, or has not ended.
    """
    match task.state:
        case Completed(completion=completion):
            return completion
        case Failed(error=error):
            raise XenopsError(_error_of(error, task.id))
        case Pending(progress=progress):
            raise internal_error(f"task {task.id} has not ended, it is at {progress:.0%}: wait for it")


def _error_of(error: object, task: str) -> Error:
    try:
        read: Error = from_rpc(Error, error)
    except MarshalError as unreadable:
        raise internal_error(f"task {task} failed with an error that makes no sense: {error}") from unreadable
    return read


def _ignore(_task: Task) -> None:
    """Nobody watches."""
