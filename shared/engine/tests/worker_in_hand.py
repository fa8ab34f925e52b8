"""A worker in hand: one worker on a simulator, and a test that leads."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Entry
from engine.conformance.samples import sample_vbd, sample_vm
from engine.journal import JournalEntry
from engine.simulator import Fault, Simulator, SimulatorSettings
from engine.store import FileStore
from engine.worker import WorkerService, WorkerSettings, host_of
from schema.ids import InstanceName, LeaseToken, TaskId, Term, VmId, WorkerName
from schema.objects.vm import PowerState
from schema.operations import Operation, VmStart
from schema.records import Elected, Failed, Finished, Leased, Record, Submitted

INSTANCE = InstanceName("i")
WORKER = WorkerName("w")
VM = VmId("v1")
PATIENCE_S = 120.0


class World:
    """One worker on a simulator, and a test that leads."""

    def __init__(self, directory: Path, *faults: Fault) -> None:
        self.directory = directory
        self.broker = MemoryBroker()
        self.leader = MemoryBus(self.broker, "leader")
        self.records: list[Record] = []
        self._more = threading.Condition()
        self.leader.tail(INSTANCE, BEGINNING, self._on_entry, lambda: None)
        self.leader.append(INSTANCE, Elected(redirector="test"))
        self.store = FileStore(directory / "metadata")
        self.store.write(sample_vm())
        self.store.vbds.write(sample_vbd())
        self.start(*faults)

    def start(self, *faults: Fault) -> None:
        self.backend = self.make_backend(*faults)
        self.bus = MemoryBus(self.broker, "worker")
        settings = WorkerSettings(
            INSTANCE, WORKER, self.directory / "state", self.directory / "metadata", self.directory / "hooks"
        )
        host = host_of(settings, self.backend, self.store)
        self.threads = host.threads
        self.service = WorkerService(self.bus, settings, host)
        self.service.start()
        self.bus.ready(PATIENCE_S)

    def make_backend(self, *faults: Fault) -> Simulator:
        return Simulator(SimulatorSettings(state=self.directory / "host", faults=faults))

    def _on_entry(self, entry: Entry) -> None:
        with self._more:
            self.records.append(entry.record)
            self._more.notify_all()

    def wait_for(self, what: Callable[[Record], bool]) -> Any:
        with self._more:
            assert self._more.wait_for(lambda: any(map(what, self.records)), PATIENCE_S), self.records
            return next(record for record in self.records if what(record))

    def lease(self, operation: Operation, dbg: str = "d", vm: VmId = VM) -> TaskId:
        asked = f"request {len(self.broker.log(INSTANCE))}"
        submitted = Submitted(vm=vm, operation=operation, request_id=asked, dbg=dbg, accept_by=9.0)
        self.leader.append(INSTANCE, submitted)
        log = self.broker.log(INSTANCE)  # the worker may have written behind it
        task = TaskId(max(place for place, found in enumerate(log) if found.record == submitted))
        self.leader.append(INSTANCE, Leased(vm=vm, task=task, worker=WORKER, term=Term(0)))
        return task

    def end_of(self, task: TaskId) -> Finished:
        found = self.wait_for(lambda record: isinstance(record, Finished) and record.task == task)
        assert isinstance(found, Finished)
        return found

    def run(self, operation: Operation, dbg: str = "d") -> Finished:
        return self.end_of(self.lease(operation, dbg))

    def state(self) -> PowerState:
        return self.backend.vm.get_state(self.store.read(VM)).power_state

    def end(self) -> None:
        self.bus.close()
        self.backend.stop()

    def restart(self, *faults: Fault) -> None:
        self.end()
        self.start(*faults)

    def close(self) -> None:
        self.end()
        self.leader.close()


def entry_of(world: World, task: TaskId) -> JournalEntry:
    """As the worker that was leased this task at once would have noted it."""
    life = world.broker.log(INSTANCE)[0].at
    return JournalEntry(vm=VM, task=task, token=LeaseToken(task + 1), life=life, operation=VmStart(vm=VM))


def failure(finished: Finished) -> Any:
    assert isinstance(finished.outcome, Failed)
    return finished.outcome.error
