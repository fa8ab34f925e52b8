from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bus.clock import SystemClock
from bus.memory import MemoryBroker, MemoryBus
from engine.conformance.samples import sample_vm, start_sample
from engine.journal import Journal, JournalEntry
from engine.simulator import Simulator
from engine.store import FileStore
from engine.worker import WorkerService, WorkerSettings, host_of
from engine.worker.announced import ANNOUNCED_S, AnnouncedVms
from schema.atomics.vm import VmImportMetadata, VmPause, VmRemove
from schema.fault import internal_error
from schema.ids import InstanceName, LeaseToken, TaskId, VmId, WorkerName
from schema.migration import arriving_id
from schema.objects.errors import InternalError
from schema.objects.metadata import Metadata
from schema.operations import AtomicOperation, Operation, VmReceiveMemory
from schema.records import Failed, Finished, Outcome, Removed, Succeeded
from typing_extensions import override

INSTANCE = InstanceName("i")
VM = VmId("1f5a1c9e-0000-4000-8000-0123456789ab")
ARRIVING = arriving_id(VM)
FAILED = Failed(error=InternalError(message="nobody was there"))


class StillClock(SystemClock):
    """It stands still until a test moves it."""

    passed_s = 0.0

    @override
    def monotonic(self) -> float:
        return self.passed_s


class AtOnce:
    """Threads whose work is done before they go on."""

    def __init__(self, threads: Any) -> None:
        self._threads = threads
        self.clock = StillClock()
        self.begun = 0

    def begin(self, action: Callable[[], None]) -> None:
        self.begun += 1
        action()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._threads, name)


class Refusing(FileStore):
    """A store that lets nothing go for so many times."""

    refusals = 0

    @override
    def remove(self, vm: str) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise internal_error(f"the store keeps {vm}")
        super().remove(vm)


class Destination:
    """A host to which VMs may come. `expected` are those of which a task waits or runs."""

    def __init__(self, directory: Path) -> None:
        self.backend = Simulator()
        self.store = Refusing(directory / "metadata")
        self.journal = Journal(directory / "state" / "journal")
        self.broker, self.expected = MemoryBroker(), set[VmId]()
        self.bus = MemoryBus(self.broker, "worker")
        settings = WorkerSettings(INSTANCE, WorkerName("w"), directory / "state", directory / "metadata")
        service = WorkerService(self.bus, settings, host_of(settings, self.backend, self.store))
        self.threads = AtOnce(service._tools.threads)
        tools = replace(service._tools, threads=self.threads)  # type: ignore[arg-type]
        self.announced = AnnouncedVms(tools, lambda _: None, self.expected.__contains__)

    def note(self, vm: VmId, token: int, operation: Operation, outcome: Outcome | None = None) -> None:
        """A VM is configured, and was last executed so."""
        self.store.write(sample_vm(vm))
        entry = JournalEntry(vm=vm, task=TaskId(1), token=LeaseToken(token), life=1, operation=operation)
        self.journal.begin(entry)
        if outcome is not None:
            ended = Finished(vm=vm, task=entry.task, outcome=outcome, token=entry.token)
            self.journal.end(entry, ended)

    def look_after(self, seconds: float) -> tuple[VmId, ...]:
        """Let time pass, look as a worker does, and answer which VMs are configured."""
        self.threads.clock.passed_s += seconds
        self.announced.look()
        return self.store.ids()

    def removals(self) -> list[VmId]:
        """Of which VMs it was told that they are no more."""
        log = [each.record for each in self.broker.log(INSTANCE)]
        return [record.vm for record in log if isinstance(record, Removed)]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Destination]:
    destination = Destination(tmp_path)
    yield destination
    destination.bus.close()


def imports(vm: VmId = ARRIVING, domains: str | None = "{}") -> AtomicOperation:
    return AtomicOperation(
        atomic=VmImportMetadata(vm=vm, metadata=Metadata(vm=sample_vm(vm), domains=domains))
    )


def arrives() -> VmReceiveMemory:
    return VmReceiveMemory(vm=ARRIVING, final=VM, memory_limit_bytes=1, socket="", compressed=False)


def removes() -> AtomicOperation:
    return AtomicOperation(atomic=VmRemove(vm=ARRIVING))


@pytest.mark.parametrize(
    ("operation", "outcome"),
    [(imports(), Succeeded()), (imports(), FAILED), (removes(), FAILED)],
    ids=["imported", "imported in part", "its removal failed"],
)
def test_what_was_announced_and_does_not_come_is_forgotten_after_five_minutes(
    there: Destination, operation: Operation, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    there.note(ARRIVING, 2, operation, outcome)
    assert there.look_after(3600.0) == (ARRIVING,), "it was not seen before"
    assert there.look_after(ANNOUNCED_S - 1.0) == (ARRIVING,)
    assert there.look_after(1.0) == ()
    assert there.removals() == [ARRIVING]
    assert f"VM {ARRIVING} was announced by a migration's source and did not come" in caplog.text
    assert there.look_after(ANNOUNCED_S) == ()
    assert there.removals() == [ARRIVING]


@pytest.mark.parametrize(
    ("vm", "operation", "outcome"),
    [
        (VM, imports(VM), Succeeded()),
        (ARRIVING, imports(domains=None), Succeeded()),
        (ARRIVING, imports(), None),
        (ARRIVING, arrives(), None),
        (ARRIVING, arrives(), FAILED),
        (ARRIVING, removes(), Succeeded()),
        (ARRIVING, AtomicOperation(atomic=VmPause(vm=ARRIVING)), FAILED),
    ],
    ids=["own id", "no domain", "under way", "comes", "did not come", "configured by hand", "his who asked"],
)
def test_nothing_else_is_forgotten(
    there: Destination, vm: VmId, operation: Operation, outcome: Outcome | None
) -> None:
    there.note(vm, 2, operation, outcome)
    there.look_after(0.0)
    assert there.look_after(2 * ANNOUNCED_S) == (vm,)


def test_what_has_a_domain_is_not_only_announced(there: Destination) -> None:
    there.note(ARRIVING, 2, imports(), Succeeded())
    start_sample(there.backend, sample_vm(ARRIVING))
    there.look_after(0.0)
    assert there.look_after(2 * ANNOUNCED_S) == (ARRIVING,)


def test_who_is_on_his_way_is_waited_for(there: Destination) -> None:
    there.note(ARRIVING, 2, imports(), Succeeded())
    there.expected.add(ARRIVING)
    there.look_after(0.0)
    assert there.look_after(2 * ANNOUNCED_S) == (ARRIVING,)
    there.expected.clear()
    assert there.look_after(0.0) == ()


def test_what_is_announced_anew_has_its_time_anew(there: Destination) -> None:
    there.note(ARRIVING, 2, imports(), Succeeded())
    there.look_after(0.0)
    there.note(ARRIVING, 3, arrives(), FAILED)
    there.look_after(0.0)
    there.note(ARRIVING, 5, imports(), Succeeded())
    assert there.look_after(ANNOUNCED_S) == (ARRIVING,)
    assert there.look_after(ANNOUNCED_S) == ()


def test_what_changes_in_the_last_moment_counts(there: Destination) -> None:
    there.note(ARRIVING, 2, imports(), Succeeded())
    there.look_after(0.0)
    begin = there.threads.begin

    def begin_late(action: Callable[[], None]) -> None:
        there.note(ARRIVING, 3, arrives())
        begin(action)

    there.threads.begin = begin_late  # type: ignore[method-assign]
    assert there.look_after(ANNOUNCED_S) == (ARRIVING,)


def test_what_is_not_there_any_more_is_looked_for_once(there: Destination) -> None:
    """A source that gives up has it removed, though its arrival has cleared up already."""
    there.note(ARRIVING, 2, removes(), FAILED)
    there.store.remove(ARRIVING)
    there.look_after(0.0)
    for _ in range(3):
        there.look_after(ANNOUNCED_S)
    assert there.threads.begun == 1
    assert there.removals() == []


def test_what_cannot_be_forgotten_yet_is_tried_again(
    there: Destination, caplog: pytest.LogCaptureFixture
) -> None:
    there.note(ARRIVING, 2, imports(), Succeeded())
    there.store.refusals = 1
    there.look_after(0.0)
    assert there.look_after(ANNOUNCED_S) == (ARRIVING,)
    assert "cannot be forgotten yet" in caplog.text
    assert there.removals() == []
    assert there.look_after(1.0) == ()
