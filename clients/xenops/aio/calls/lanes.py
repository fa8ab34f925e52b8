"""LANE and WORKER, of our own: what waits, what runs, and how an operator changes the order.

Made of `xenops/calls/lanes.py` by `make async-client`: change that one.
"""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.own_methods declares; a test holds these annotations against it.

from dataclasses import dataclass

from schema.objects.lane import Lanes, LaneTasks, Worker

from xenops.aio.caller import AsyncCaller


@dataclass(frozen=True, slots=True)
class AsyncLaneCalls:
    """The methods `LANE.*`."""

    call: AsyncCaller

    async def list(self, limit: int = 1_000) -> Lanes:
        """Lanes in which anything is, so many at the most, and how much there is in all."""
        return await self.call("LANE.list", limit=limit)

    async def stat(self, vm: str) -> LaneTasks:
        """One VM's lane, with all that waits in it."""
        return await self.call("LANE.stat", id=vm)

    async def hold(self, vm: str) -> None:
        """Let no more of a VM's tasks go; what runs goes on."""
        await self.call("LANE.hold", id=vm)

    async def release(self, vm: str) -> None:
        """Let a VM's tasks go again."""
        await self.call("LANE.release", id=vm)

    async def prioritise(self, task: str, priority: int) -> None:
        """Let a waiting task go before all of its VM's with a lower priority; 0 is usual."""
        await self.call("LANE.prioritise", task=task, priority=priority)

    async def set_deadline(self, task: str, within: float | None) -> None:
        """Let a waiting task fail unless it begins within so many seconds; None: it may wait for ever."""
        await self.call("LANE.set_deadline", task=task, within=within)


@dataclass(frozen=True, slots=True)
class AsyncWorkerCalls:
    """The methods `WORKER.*`."""

    call: AsyncCaller

    async def list(self) -> tuple[Worker, ...]:
        """All workers that are known."""
        return await self.call("WORKER.list")

    async def drain(self, worker: str) -> None:
        """Give a worker nothing new; it is drained when what it runs has ended."""
        await self.call("WORKER.drain", worker=worker)

    async def undrain(self, worker: str) -> None:
        """Give a worker tasks again."""
        await self.call("WORKER.undrain", worker=worker)
