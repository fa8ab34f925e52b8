"""Events: waiting for changes and for tasks, as the original's clients do.

Both loop on UPDATES.get, which blocks until something changes; nothing is polled. A task is asked for only
when it is told to have changed, or was not for a while: it may have been destroyed, or the event hub that was
asked last may have known less than the one that told of the task.

Made of `xenops/events.py` by `make async-client`: change that one.
"""

import time
from collections.abc import Callable, Sequence

from bus.ports import BusError
from schema.objects.dynamic import ObjectId, TaskObject
from schema.objects.task import Completion, Pending, Task

from xenops.aio.client import AsyncClient
from xenops.events import _ignore, _Until, _until, outcome_of

GET_TIMEOUT_S = 30
"""How long one UPDATES.get waits; the wait as a whole goes on."""


async def event_wait(
    client: AsyncClient,
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
        _, objects, token = await client.updates.get(token, until.next_get_s())
        if any([predicate(changed) for changed in objects]):  # noqa: C419  all are to be seen
            return token


async def wait_for_task(
    client: AsyncClient,
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
    ended = await _last_stat(client, task, _until(f"task {task}", timeout_s), on_progress or _ignore)
    if destroy:
        await client.task.destroy(task)
    return outcome_of(ended)


async def _last_stat(
    client: AsyncClient, task: str, until: _Until, on_progress: Callable[[Task], None]
) -> Task:
    token = await client.updates.last_id()
    ours = TaskObject(id=task)
    told, looked_at = True, 0.0
    while True:
        if told:
            looked_at = time.monotonic()
            seen = await client.task.stat(task)
            on_progress(seen)
            if not isinstance(seen.state, Pending):
                return seen
        objects, token = await _news(client, token, until)
        told = not objects or ours in objects or time.monotonic() - looked_at >= GET_TIMEOUT_S


async def _news(client: AsyncClient, token: int, until: _Until) -> tuple[Sequence[ObjectId], int]:
    """What has changed; nothing, if whoever was asked has died: the task is looked at all the same."""
    try:
        _, objects, newest = await client.updates.get(token, until.next_get_s())
    except BusError:
        return (), token
    return objects, newest
