"""Task and UPDATES: how a client learns what became of its operations, and what changed.

Made of `xenops/calls/events.py` by `make async-client`: change that one.
"""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.methods declares; a test holds these annotations against it.

from dataclasses import dataclass

from schema.objects.dynamic import ObjectId
from schema.objects.events import Events
from schema.objects.quarantine import Quarantine
from schema.objects.task import Task

from xenops.aio.caller import AsyncCaller

Updates = tuple[tuple[tuple[int, tuple[ObjectId, ...]], ...], tuple[ObjectId, ...], int]
"""Barriers, each with what changed before it; objects, each once, by their last change; the next token."""


@dataclass(frozen=True, slots=True)
class AsyncTaskCalls:
    """The methods `Task.*`."""

    call: AsyncCaller

    async def stat(self, task: str) -> Task:
        """How far a task is, or how it ended."""
        return await self.call("Task.stat", id=task)

    async def list(self) -> tuple[Task, ...]:
        """All tasks that nobody has destroyed."""
        return await self.call("Task.list")

    async def cancel(self, task: str) -> None:
        """Ask a task to stop, at its next cancel point; it may still succeed."""
        await self.call("Task.cancel", id=task)

    async def destroy(self, task: str) -> None:
        """Forget a task; what it does goes on."""
        await self.call("Task.destroy", id=task)

    async def destroy_on_finish(self, task: str) -> None:
        """Forget a task as soon as it ends."""
        await self.call("Task.destroy_on_finish", id=task)


@dataclass(frozen=True, slots=True)
class AsyncUpdatesCalls:
    """The methods `UPDATES.*`."""

    call: AsyncCaller

    async def get(self, token: int | None, timeout: int | None = 30) -> Updates:  # noqa: ASYNC109  the interface's
        """What has changed since `token`; waits until something has, for `timeout` seconds at most.

        None as token: everything that there is. None as timeout: for as long as the service lets one wait.
        """
        return await self.call("UPDATES.get", last_id=token, timeout=timeout)

    async def last_id(self) -> int:
        """The token of now: what changes from here on."""
        return await self.call("UPDATES.last_id")

    async def inject_barrier(self, vm: str, barrier: int) -> None:
        """Put a mark into the changes of one VM."""
        await self.call("UPDATES.inject_barrier", vm_id=vm, id=barrier)

    async def remove_barrier(self, barrier: int) -> None:
        """Take the mark away."""
        await self.call("UPDATES.remove_barrier", id=barrier)

    async def refresh_vm(self, vm: str) -> None:
        """Have a VM and all its devices told as changed."""
        await self.call("UPDATES.refresh_vm", id=vm)


@dataclass(frozen=True, slots=True)
class AsyncQuarantineCalls:
    """The methods `QUARANTINE.*`, which the original does not have."""

    call: AsyncCaller

    async def list(self) -> Quarantine:
        """The messages of the log that no service takes, the newest first, and how many there were."""
        return await self.call("QUARANTINE.list")

    async def retry(self, log: str, offset: int) -> None:
        """Judge a message again, and append it anew if it counts now; only after an operator's action."""
        await self.call("QUARANTINE.retry", log=log, offset=offset)

    async def discard(self, log: str, offset: int) -> None:
        """Note that a message was seen; only after an operator's action."""
        await self.call("QUARANTINE.discard", log=log, offset=offset)


@dataclass(frozen=True, slots=True)
class AsyncEventsCalls:
    """The methods `EVENTS.*`, which the original does not have."""

    call: AsyncCaller

    async def stat(self) -> Events:
        """How far an event hub has read, who waits for news there, and which barriers stand."""
        return await self.call("EVENTS.stat")
