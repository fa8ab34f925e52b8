"""The client: one connection to one instance, with the whole interface in typed Python."""

import logging
import time
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from bus.ports import BusError, BusRefusedError, BusUnavailableError, LookingBus
from bus.topology import door_queue
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.objects.host import Query
from schema.rpc import decode_response

from xenops.calling import CALL_TIMEOUT_S, Attempts, Calling, away_s
from xenops.calls import (
    DebugCalls,
    EventsCalls,
    HostCalls,
    LaneCalls,
    ObserverCalls,
    PciCalls,
    QuarantineCalls,
    TaskCalls,
    UpdatesCalls,
    VbdCalls,
    VgpuCalls,
    VifCalls,
    VmCalls,
    VusbCalls,
    WorkerCalls,
)
from xenops.unix import SCHEME, UnixDoor

SILENT_S = 2.0
"""How long that takes before it is said that the broker is waited for."""

_log = logging.getLogger("xenops")


class Door(Protocol):
    """How a client reaches services: a bus, or a socket."""

    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        """Send a request and wait for its answer; see `bus.ports.Bus`."""

    def close(self) -> None:
        """Let go of it."""


@runtime_checkable
class Knowing(Protocol):
    """A door that can tell which instances there are, as a bus can."""

    def knows(self, instance: InstanceName) -> bool:
        """Whether there is such an instance, or may be; see `bus.ports.Bus`."""


class Client:
    """Calls one instance's services; its methods may be called from any thread but the bus's own.

    Every call raises `XenopsError` when the service says no, `BusError` when it is not reached or does not
    answer in time, `ResponseError` when what answers is no xenops.
    """

    def __init__(
        self, bus: Door, instance: str, *, dbg: str = "xenops", timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self.door = bus
        self._instance = InstanceName(instance)
        self._queue = door_queue(self._instance)
        self._calling = Calling(dbg, timeout_s)
        self.vm = VmCalls(self.call)
        self.vbd = VbdCalls(self.call)
        self.vif = VifCalls(self.call)
        self.pci = PciCalls(self.call)
        self.vgpu = VgpuCalls(self.call)
        self.vusb = VusbCalls(self.call)
        self.host = HostCalls(self.call)
        self.task = TaskCalls(self.call)
        self.updates = UpdatesCalls(self.call)
        self.lane = LaneCalls(self.call)
        self.worker = WorkerCalls(self.call)
        self.events = EventsCalls(self.call)
        self.quarantine = QuarantineCalls(self.call)
        self.debug = DebugCalls(self.call)
        self.observer = ObserverCalls(self.call)

    def patient(self, timeout_s: float) -> "Client":
        """A client by the same way whose calls may take so long; closing either closes both."""
        return Client(self.door, self._instance, dbg=self._calling.dbg, timeout_s=timeout_s)

    def query(self) -> Query:
        """Who serves this instance."""
        answer: Query = self.call("query", unit=None)
        return answer

    def get_diagnostics(self) -> str:
        """Queues, workers, tasks and updates, as JSON."""
        answer: str = self.call("get_diagnostics", unit=None)
        return answer

    def call(self, method: str, /, **params: Any) -> Any:
        """Perform any method by its wire name; while services or broker are away it is made again.

        For how long `xenops.calling` says, what may be repeated `xenops.repeats`, and why ADR 99.
        """
        attempts = Attempts(self._calling, self._instance, method, params)
        while True:
            try:
                answer = self.door.call(self._queue, attempts.body, attempts.answer_s())
                return decode_response(method, answer)
            except (BusError, XenopsError) as error:
                if isinstance(error, XenopsError) and attempts.is_done(error):
                    return None
                if attempts.asks_whether_known(error) and not self._is_known():
                    raise attempts.unknown() from error
                pause_s = attempts.after(error)
            time.sleep(pause_s)

    def _is_known(self) -> bool:
        return not isinstance(self.door, Knowing) or self.door.knows(self._instance)

    def close(self) -> None:
        """Close the bus."""
        self.door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def connect(url: str, instance: str, *, dbg: str = "xenops", timeout_s: float = CALL_TIMEOUT_S) -> Client:
    """A client of an instance, at `url`: `amqp://user:secret@host:port/`, or `unix:///path/of/socket`.

    Raises:
        BusUnavailableError: the broker is not reached in time.
    """
    if url.startswith(SCHEME):
        return Client(UnixDoor(url), instance, dbg=dbg, timeout_s=timeout_s)
    bus = connect_bus(url, dbg, timeout_s)
    return Client(bus, instance, dbg=dbg, timeout_s=timeout_s)


def connect_bus(url: str, name: str, timeout_s: float = CALL_TIMEOUT_S) -> LookingBus:
    """A bus on the broker at `url`, which makes no logs; `timeout_s` is the most that a call may take.

    Raises:
        BusUnavailableError: the broker is not reached in time.
        BusRefusedError: it does not let this user in, which is told at once.
    """
    from bus.rabbit import RabbitBus  # noqa: PLC0415  a client on a bus in memory needs no AMQP library

    bus = RabbitBus(url, name, makes_logs=None)
    patience_s = away_s(timeout_s)
    try:
        try:
            bus.ready(min(SILENT_S, patience_s))
        except BusRefusedError:
            raise
        except BusUnavailableError as error:
            if patience_s <= SILENT_S:
                raise
            _log.warning("%s (trying for %g s)", error, patience_s)
            bus.ready(patience_s - SILENT_S)
    except BaseException:
        bus.close()
        raise
    return bus
