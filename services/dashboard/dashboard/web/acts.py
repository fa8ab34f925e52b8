"""Acts: what operators may ask for over the API, each written down with who asked."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field
from schema.overseen import message_name

from dashboard import views
from dashboard.acting import act
from dashboard.operators import Operator
from dashboard.safety import PRIORITY_MAX, WITHIN_S_MAX, Action, Verb
from dashboard.web.access import Access
from dashboard.web.api import PROBLEMS, TEXT_MAX, TaskNumber, Watches, find

Name = Annotated[str, Path(max_length=TEXT_MAX)]


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Priority(_Wish):
    """Higher goes first; 0 is usual."""

    priority: int = Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)


class Deadline(_Wish):
    """The task fails unless it begins within so many seconds; null: it may wait for ever."""

    within_s: float | None = Field(ge=0, le=WITHIN_S_MAX)


class Drain(_Wish):
    """`force`: also if no other worker is left to run tasks."""

    force: bool = False


def build_acts(watches: Watches, access: Access) -> APIRouter:
    """All that can be done."""
    router = APIRouter(prefix="/api/v1", tags=["actions"], responses=PROBLEMS)
    _add_tasks(router, watches, access)
    _add_lanes_and_workers(router, watches, access)
    _add_messages(router, watches, access)
    return router


async def _do(watches: Watches, instance: str, operator: Operator, action: Action) -> views.Done:
    await act(find(watches, instance), operator, action)
    return views.Done(done=f"{action.said} {action.subject}")


def _add_tasks(router: APIRouter, watches: Watches, access: Access) -> None:

    @router.post("/instances/{instance}/tasks/{task}/cancel")
    async def cancel(
        instance: str, task: TaskNumber, operator: Annotated[Operator, Depends(access.operator)]
    ) -> views.Done:
        """Let a task stop, whether it waits or runs; it ends when its worker has put right what it did."""
        return await _do(watches, instance, operator, Action(Verb.CANCEL, str(task)))

    @router.post("/instances/{instance}/tasks/{task}/discard")
    async def discard(
        instance: str, task: TaskNumber, operator: Annotated[Operator, Depends(access.operator)]
    ) -> views.Done:
        """Let a task that waits never begin. One that a worker takes in this moment is cancelled."""
        return await _do(watches, instance, operator, Action(Verb.DISCARD, str(task)))

    @router.post("/instances/{instance}/tasks/{task}/priority")
    async def prioritise(
        instance: str,
        task: TaskNumber,
        wish: Priority,
        operator: Annotated[Operator, Depends(access.operator)],
    ) -> views.Done:
        """Let a task that waits go before those of its VM with a lower priority."""
        return await _do(watches, instance, operator, Action(Verb.PRIORITISE, str(task), wish.priority))

    @router.post("/instances/{instance}/tasks/{task}/deadline")
    async def deadline(
        instance: str,
        task: TaskNumber,
        wish: Deadline,
        operator: Annotated[Operator, Depends(access.operator)],
    ) -> views.Done:
        """Say until when a task that waits must have begun."""
        return await _do(watches, instance, operator, Action(Verb.DEADLINE, str(task), wish.within_s))


def _add_lanes_and_workers(router: APIRouter, watches: Watches, access: Access) -> None:

    @router.post("/instances/{instance}/lanes/{vm}/hold")
    async def hold(
        instance: str, vm: Name, operator: Annotated[Operator, Depends(access.operator)]
    ) -> views.Done:
        """Let no more of a VM's tasks begin; what runs goes on."""
        return await _do(watches, instance, operator, Action(Verb.HOLD, vm))

    @router.post("/instances/{instance}/lanes/{vm}/release")
    async def release(
        instance: str, vm: Name, operator: Annotated[Operator, Depends(access.operator)]
    ) -> views.Done:
        """Let a VM's tasks begin again."""
        return await _do(watches, instance, operator, Action(Verb.RELEASE, vm))

    @router.post("/instances/{instance}/workers/{worker}/drain")
    async def drain(
        instance: str,
        worker: Name,
        operator: Annotated[Operator, Depends(access.operator)],
        wish: Drain | None = None,
    ) -> views.Done:
        """Give a worker nothing new; what it runs goes on."""
        action = Action(Verb.DRAIN, worker, force=wish is not None and wish.force)
        return await _do(watches, instance, operator, action)

    @router.post("/instances/{instance}/workers/{worker}/undrain")
    async def undrain(
        instance: str, worker: Name, operator: Annotated[Operator, Depends(access.operator)]
    ) -> views.Done:
        """Give a worker tasks again."""
        return await _do(watches, instance, operator, Action(Verb.UNDRAIN, worker))


def _add_messages(router: APIRouter, watches: Watches, access: Access) -> None:

    @router.post("/instances/{instance}/quarantine/{log}/{offset}/retry")
    async def retry(
        instance: str,
        log: Name,
        offset: TaskNumber,
        operator: Annotated[Operator, Depends(access.operator)],
    ) -> views.Done:
        """Have a message in quarantine judged again, and appended anew if it counts by now."""
        action = Action(Verb.RETRY_MESSAGE, message_name(log, offset))
        return await _do(watches, instance, operator, action)

    @router.post("/instances/{instance}/quarantine/{log}/{offset}/discard")
    async def discard(
        instance: str,
        log: Name,
        offset: TaskNumber,
        operator: Annotated[Operator, Depends(access.operator)],
    ) -> views.Done:
        """Note that a message in quarantine was seen; it stays in the log, and in the list."""
        action = Action(Verb.DISCARD_MESSAGE, message_name(log, offset))
        return await _do(watches, instance, operator, action)
