"""Instance: every service and the simulator in this process, on a bus in memory, for a user's own tests."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Bus, BusError
from bus.process import Service
from bus.process import Settings as BusSettings
from engine.simulator import Crash, Delay, Fail, Fault, Guest, Hang, SimulatorSettings
from engine.worker.settings import worker_settings
from eventhub.service import build as build_eventhub
from frontend.service import build as build_frontend
from frontend.settings import Settings as FrontendSettings
from redirector.service import build as build_redirector
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.objects.task import Pending
from schema.objects.vm import Vm
from schema.records import Record
from worker_sim.service import build as build_worker
from worker_sim.settings import Settings as WorkerSettings
from xenops import Client
from xenops.aio import AsyncClient
from xenops.vmfile import parse_vm_file

NAME = "org.xen.xapi.xenops.test"
"""What the instance is called, unless told otherwise."""

CALL_TIMEOUT_S = 60.0
"""How long a call may take on a machine that has much else to do."""

_FIRST_CALL_S = 0.2
"""How long one question waits, while the services start, before it is asked anew."""

_START_TRIES = 300


class Part(StrEnum):
    """A service of the instance, in the order in which they are started."""

    REDIRECTOR = "redirector"
    EVENTHUB = "eventhub"
    WORKER = "worker"
    FRONTEND = "frontend"


@dataclass(frozen=True, slots=True)
class Simulated:
    """The hypervisor that is simulated: what goes wrong, how guests behave, how long a save takes.

    `faults` may be `Fail`, `Delay` and `Hang`; with `call=1` a verb meets it once, not also when a VM is put
    right after a failure. `Crash` would kill the process of the tests, so it is refused:
    `Instance.stop` and `start` show a client a service that has died.
    """

    faults: Sequence[Fault] = ()
    guest: Guest = field(default_factory=Guest)
    transfer_s: float = 0.0

    def settings(self, state: Path) -> SimulatorSettings:
        """As the simulator takes them. Errors: `ValueError`, for a `Crash`."""
        if any(isinstance(fault.effect, Crash) for fault in self.faults):
            raise ValueError("a Crash would kill the process of the tests: use Instance.stop and start")
        faults = tuple(self.faults)
        return SimulatorSettings(state=state, transfer_s=self.transfer_s, guest=self.guest, faults=faults)


class Instance:
    """A whole instance; up within `with`, and gone afterwards. No broker, no sockets, no other process.

    It is the services' own code: lanes, leases, journal, tasks and updates are as in production; only the
    hypervisor is simulated. What workers keep is in files below `state`. There is no migration in it.
    """

    def __init__(self, state: Path, simulated: Simulated | None = None, *, name: str = NAME) -> None:
        self.name = name
        self._state = state
        self._instance = InstanceName(name)
        self._simulator = (simulated or Simulated()).settings(state / "host")
        self._broker = MemoryBroker()
        self._running: dict[Part, tuple[Service, Bus]] = {}
        self._clients: list[Client | AsyncClient] = []

    def __enter__(self) -> Self:
        for part in Part:
            self.start(part)
        self._await_answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel_all()
        for client in self._clients:
            client.door.close()
        for part in reversed(Part):
            self.stop(part)

    @property
    def records(self) -> tuple[Record, ...]:
        """All that stands in the instance's log, in order."""
        return tuple(envelope.record for envelope in self._broker.log(self._instance))

    def client(self, *, dbg: str = "test", timeout_s: float = CALL_TIMEOUT_S) -> Client:
        """One more connected client; it is closed with the instance."""
        made = Client(MemoryBus(self._broker, dbg), self.name, dbg=dbg, timeout_s=timeout_s)
        self._clients.append(made)
        return made

    def async_client(self, *, dbg: str = "test", timeout_s: float = CALL_TIMEOUT_S) -> AsyncClient:
        """The same for asyncio; it may be made before the event loop runs."""
        made = AsyncClient.on_bus(MemoryBus(self._broker, dbg), self.name, dbg=dbg, timeout_s=timeout_s)
        self._clients.append(made)
        return made

    def stop(self, part: Part) -> None:
        """End a service, as a host's shutdown does; VMs run on. Idempotent."""
        service, bus = self._running.pop(part, (None, None))
        if service is not None and bus is not None:
            service.stop()
            bus.close()

    def start(self, part: Part) -> None:
        """Start a service that does not run, as a new process would; it reads the log anew. Idempotent."""
        if part not in self._running:
            bus = MemoryBus(self._broker, part)
            service = self._builders()[part](bus)
            self._running[part] = (service, bus)
            service.start()

    def _cancel_all(self) -> None:
        """Ask what still runs to stop, so that nobody has to wait for it."""
        client = Client(MemoryBus(self._broker, "end"), self.name, timeout_s=_FIRST_CALL_S)
        with client, suppress(BusError, XenopsError):
            for task in client.task.list():
                if isinstance(task.state, Pending):
                    client.task.cancel(task.id)

    def _builders(self) -> Mapping[Part, Callable[[Bus], Service]]:
        common = BusSettings((self._instance,))
        return {
            Part.REDIRECTOR: partial(build_redirector, settings=common),
            Part.EVENTHUB: partial(build_eventhub, settings=common),
            Part.WORKER: lambda bus: build_worker(bus, self._worker_settings()),
            Part.FRONTEND: partial(build_frontend, settings=FrontendSettings(common)),
        }

    def _worker_settings(self) -> WorkerSettings:
        told = {
            "XENOPS_BROKER": "memory",
            "XENOPS_INSTANCE": self.name,
            "XENOPS_STATE_DIR": str(self._state),
            "XENOPS_HOOKS_DIR": str(self._state / "hooks"),
            "XENOPS_WORKER": "worker",
        }
        return WorkerSettings(worker_settings(told), self._simulator)

    def _await_answer(self) -> None:
        """Wait until worker and event hub answer through the frontend."""
        with Client(MemoryBus(self._broker, "start"), self.name, timeout_s=_FIRST_CALL_S) as client:
            for left in reversed(range(_START_TRIES)):
                with suppress(*(() if left == 0 else (BusError, XenopsError))):
                    client.query()
                    client.updates.last_id()
                    return


def a_vm(vm: str = "vm", /, **fields: Any) -> Vm:
    """A VM for tests: what a VM file with these `fields` of its `vm` describes, such as `memory="64 MiB"`.

    Raises:
        VmFileError: a field is none of a VM file's, or has a value that it cannot have.
    """
    return parse_vm_file(json.dumps({"vm": {"id": vm, **fields}}), Path("/vms/test.json")).vm


__all__ = ["Delay", "Fail", "Fault", "Guest", "Hang", "Instance", "Part", "Simulated", "a_vm"]
