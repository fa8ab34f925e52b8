"""The awaitable client: one connection to one instance, with the whole interface in typed Python."""

import asyncio
from types import TracebackType
from typing import Any, Self

from bus.ports import Bus, BusError
from bus.topology import door_queue
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.objects.host import Query
from schema.rpc import decode_response

from xenops.aio.calls import (
    AsyncDebugCalls,
    AsyncEventsCalls,
    AsyncHostCalls,
    AsyncLaneCalls,
    AsyncObserverCalls,
    AsyncPciCalls,
    AsyncQuarantineCalls,
    AsyncTaskCalls,
    AsyncUpdatesCalls,
    AsyncVbdCalls,
    AsyncVgpuCalls,
    AsyncVifCalls,
    AsyncVmCalls,
    AsyncVusbCalls,
    AsyncWorkerCalls,
)
from xenops.aio.doors import AsyncBusDoor, AsyncDoor, AsyncKnowing, AsyncUnixDoor
from xenops.calling import CALL_TIMEOUT_S, Attempts, Calling
from xenops.client import connect_bus
from xenops.unix import SCHEME


class AsyncClient:
    """Calls one instance's services; as `xenops.Client`, with every call to be awaited.

    Any number of calls may be under way at once; cancelling one only stops the wait for its answer. Every
    call raises `XenopsError` when the service says no, `BusError` when it is not reached or does not answer
    in time, `ResponseError` when what answers is no xenops.
    """

    def __init__(
        self, door: AsyncDoor, instance: str, *, dbg: str = "xenops", timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self.door = door
        self._instance = InstanceName(instance)
        self._queue = door_queue(self._instance)
        self._calling = Calling(dbg, timeout_s)
        self.vm = AsyncVmCalls(self.call)
        self.vbd = AsyncVbdCalls(self.call)
        self.vif = AsyncVifCalls(self.call)
        self.pci = AsyncPciCalls(self.call)
        self.vgpu = AsyncVgpuCalls(self.call)
        self.vusb = AsyncVusbCalls(self.call)
        self.host = AsyncHostCalls(self.call)
        self.task = AsyncTaskCalls(self.call)
        self.updates = AsyncUpdatesCalls(self.call)
        self.lane = AsyncLaneCalls(self.call)
        self.worker = AsyncWorkerCalls(self.call)
        self.events = AsyncEventsCalls(self.call)
        self.quarantine = AsyncQuarantineCalls(self.call)
        self.debug = AsyncDebugCalls(self.call)
        self.observer = AsyncObserverCalls(self.call)

    @classmethod
    def on_bus(
        cls, bus: Bus, instance: str, *, dbg: str = "xenops", timeout_s: float = CALL_TIMEOUT_S
    ) -> "AsyncClient":
        """A client on a bus of its own, which is closed with it."""
        return cls(AsyncBusDoor(bus), instance, dbg=dbg, timeout_s=timeout_s)

    async def query(self) -> Query:
        """Who serves this instance."""
        answer: Query = await self.call("query", unit=None)
        return answer

    async def get_diagnostics(self) -> str:
        """Queues, workers, tasks and updates, as JSON."""
        answer: str = await self.call("get_diagnostics", unit=None)
        return answer

    async def call(self, method: str, /, **params: Any) -> Any:
        """Perform any method by its wire name; while services or broker are away it is made again.

        For how long `xenops.calling` says, what may be repeated `xenops.repeats`, and why ADR 99.
        """
        attempts = Attempts(self._calling, self._instance, method, params)
        while True:
            try:
                answer = await self.door.call(self._queue, attempts.body, attempts.answer_s())
                return decode_response(method, answer)
            except (BusError, XenopsError) as error:
                if isinstance(error, XenopsError) and attempts.is_done(error):
                    return None
                if attempts.asks_whether_known(error) and not await self._is_known():
                    raise attempts.unknown() from error
                pause_s = attempts.after(error)
            await asyncio.sleep(pause_s)

    async def _is_known(self) -> bool:
        return not isinstance(self.door, AsyncKnowing) or await self.door.knows(self._instance)

    async def close(self) -> None:
        """Close the way to the services; other tasks of the event loop go on meanwhile."""
        await asyncio.to_thread(self.door.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()


async def connect(
    url: str, instance: str, *, dbg: str = "xenops", timeout_s: float = CALL_TIMEOUT_S
) -> AsyncClient:
    """A client of an instance, at `url`: `amqp://user:secret@host:port/`, or `unix:///path/of/socket`.

    Raises:
        BusUnavailableError: the broker is not reached in time.
    """
    if url.startswith(SCHEME):
        return AsyncClient(AsyncUnixDoor(url), instance, dbg=dbg, timeout_s=timeout_s)
    bus = await asyncio.to_thread(connect_bus, url, dbg, timeout_s)
    return AsyncClient.on_bus(bus, instance, dbg=dbg, timeout_s=timeout_s)
