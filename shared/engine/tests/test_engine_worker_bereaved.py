import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from engine.conformance.memory_xenstore import MemoryXenstore
from engine.conformance.samples import sample_vbd, sample_vm
from engine.journal import FencedError, Journal, JournalEntry
from engine.lock import LOCK_TIMEOUT_S, VmLocks
from engine.simulator import Simulator, SimulatorSettings
from engine.store.xenstore import XenstoreStore
from engine.threads import SystemThreads
from engine.worker import WorkerService, WorkerSettings, host_of
from engine.worker.core import Forget, TakeOver, TellAll
from engine.worker.orphans import Orphans
from engine.worker.recovery import put_right
from schema.atomics.vm import VmRemove
from schema.ids import DeviceId, InstanceName, LeaseToken, TaskId, VmId, WorkerName
from schema.migration import arriving_id, departing_id
from schema.objects.dynamic import VmObject
from schema.objects.errors import InternalError
from schema.objects.vif import Vif
from schema.operations import AtomicOperation, VmMigrate, VmReceiveMemory, VmStart
from schema.records import Changed, Failed, Finished, Removed, Succeeded
from typing_extensions import override

VM = VmId("v1")
GONE = VmId("gone")
PATIENCE_S = 120.0


class Bereaved:
    """A worker whose xenstore may be away, and what a worker before it has left."""

    def __init__(self, directory: Path) -> None:
        self.door = MemoryXenstore()
        store = XenstoreStore(self.door, "/xenops")
        store.write(sample_vm(VM))
        settings = WorkerSettings(InstanceName("i"), WorkerName("w"), directory / "state", directory)
        self.broker = MemoryBroker()
        self.bus = MemoryBus(self.broker, "worker")
        self.service = WorkerService(
            self.bus, settings, host_of(settings, Simulator(SimulatorSettings()), store)
        )
        self.journal = Journal(directory / "state" / "journal")
        self.journal.begin(_entry(VM))
        finished = Finished(vm=GONE, task=TaskId(1), outcome=Succeeded(), token=LeaseToken(2))
        self.journal.end(_entry(GONE), finished)

    def changes(self) -> list[Changed]:
        """What it has told of."""
        log = self.broker.log(InstanceName("i"))
        return [envelope.record for envelope in log if isinstance(envelope.record, Changed)]


def _entry(vm: VmId) -> JournalEntry:
    return JournalEntry(vm=vm, task=TaskId(1), token=LeaseToken(2), life=1, operation=VmStart(vm=vm))


@pytest.fixture(name="bereaved")
def make_bereaved(tmp_path: Path) -> Iterator[Bereaved]:
    bereaved = Bereaved(tmp_path)
    yield bereaved
    bereaved.bus.close()


def test_a_vm_that_cannot_be_looked_up_is_put_right_later(
    bereaved: Bereaved, caplog: pytest.LogCaptureFixture
) -> None:
    bereaved.door.failing = "the daemon is away"
    bereaved.service._orphans.put_right(VM, TaskId(1))
    assert [entry.vm for entry in bereaved.journal.unfinished()] == [VM]
    assert "the daemon is away" in caplog.text
    bereaved.door.failing = None
    bereaved.service._orphans.put_right(VM, TaskId(1))
    assert list(bereaved.journal.unfinished()) == []


def test_what_was_put_right_is_noted_as_ended_for_whoever_still_has_its_lease(bereaved: Bereaved) -> None:
    bereaved.service._orphans.put_right(VM, TaskId(1))
    entry = bereaved.journal.read(VM)
    assert entry is not None
    assert entry.finished is not None
    assert isinstance(entry.finished.outcome, Failed)
    assert (entry.finished.task, entry.finished.token) == (entry.task, entry.token)


def test_a_vm_that_a_daemon_started_anew_has_forgotten_needs_nothing(
    bereaved: Bereaved, caplog: pytest.LogCaptureFixture
) -> None:
    bereaved.door.edit("/xenops", None)
    bereaved.service._orphans.put_right(VM, TaskId(1))
    assert "not configured any more" in caplog.text
    assert list(bereaved.journal.unfinished()) == []


def test_a_removal_that_was_done_when_its_worker_died_is_told(bereaved: Bereaved) -> None:
    removal = AtomicOperation(atomic=VmRemove(vm=GONE))
    bereaved.journal.forget_ended(GONE)
    bereaved.journal.begin(_entry(GONE).model_copy(update={"operation": removal}))
    bereaved.service._orphans.put_right(GONE, TaskId(1))
    assert list(bereaved.journal.unfinished()) == [bereaved.journal.read(VM)]
    told = bereaved.broker.log(InstanceName("i"))
    assert [each.record for each in told if each.record.kind == "Removed"] == [Removed(vm=GONE)]


def test_nothing_is_forgotten_of_a_vm_that_cannot_be_looked_up(
    bereaved: Bereaved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.removed.REMOVED_KEPT", 0)
    bereaved.door.failing = "the daemon is away"
    bereaved.service._removed.forget_earlier({VM})
    assert bereaved.journal.ended() == (GONE,)
    bereaved.door.failing = None
    bereaved.service._removed.forget_earlier({VM})
    assert bereaved.journal.ended() == ()


def test_what_was_noted_of_the_last_vms_that_went_fences_whoever_lags_behind(
    bereaved: Bereaved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.removed.REMOVED_KEPT", 1)
    earlier = VmId("an earlier one")
    old = _entry(earlier).model_copy(update={"token": LeaseToken(1)})
    bereaved.journal.end(old, Finished(vm=earlier, task=TaskId(0), outcome=Succeeded(), token=LeaseToken(1)))
    assert bereaved.journal.ended() == (earlier, GONE)
    bereaved.service._removed.forget_earlier({VM})
    assert bereaved.journal.ended() == (GONE,)
    bereaved.service._do([Forget(GONE)])
    assert bereaved.journal.ended() == (GONE,)
    with pytest.raises(FencedError):
        bereaved.journal.begin(_entry(GONE))


def test_what_was_noted_of_a_vm_goes_with_it_when_there_is_no_room_for_more(
    bereaved: Bereaved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.removed.REMOVED_KEPT", 0)
    bereaved.service._do([Forget(GONE)])
    deadline = time.monotonic() + PATIENCE_S
    while bereaved.journal.ended() == (GONE,):
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
    assert bereaved.journal.ended() == ()


def test_what_was_noted_of_a_vm_that_has_come_again_stays(bereaved: Bereaved) -> None:
    finished = Finished(vm=VM, task=TaskId(1), outcome=Succeeded(), token=LeaseToken(2))
    bereaved.journal.end(_entry(VM), finished)
    bereaved.service._removed.forget(VM)
    assert VM in bereaved.journal.ended()


def test_what_was_noted_of_a_vm_that_cannot_be_looked_up_stays_until_the_next_start(
    bereaved: Bereaved, caplog: pytest.LogCaptureFixture
) -> None:
    bereaved.door.failing = "the daemon is away"
    bereaved.service._removed.forget(GONE)
    assert bereaved.journal.ended() == (GONE,)
    assert "stays until the next start" in caplog.text


def test_a_task_that_was_given_up_and_was_done_is_told_with_all_devices(bereaved: Bereaved) -> None:
    store = bereaved.service._tools.store
    store.vbds.write(sample_vbd("xvda", VM))
    store.vifs.write(Vif(id=DeviceId(VM, "0")))
    done = Finished(vm=VM, task=TaskId(1), outcome=Succeeded(), token=LeaseToken(2))
    lost = done.model_copy(update={"outcome": Failed(error=InternalError(message="lost"))})
    bereaved.journal.end(_entry(VM), done)
    bereaved.service._orphans.compare(done)
    bereaved.service._orphans.compare(lost.model_copy(update={"task": TaskId(7)}))
    assert bereaved.changes() == []
    bereaved.service._orphans.compare(lost)
    [changed] = bereaved.changes()
    assert [type(each).__name__ for each in changed.changed] == ["VbdObject", "VifObject", "VmObject"]
    bereaved.door.failing = "the daemon is away"
    bereaved.service._orphans.compare(lost)
    assert len(bereaved.changes()) == 1


def test_what_a_lost_worker_left_half_done_is_put_right_by_another(bereaved: Bereaved) -> None:
    lost = Finished(vm=VM, task=TaskId(1), outcome=Failed(error=InternalError(message="lost")))
    assert not bereaved.service._orphans.is_half_done(lost.model_copy(update={"task": TaskId(7)}))
    bereaved.service._do([TakeOver(lost)])
    deadline = time.monotonic() + PATIENCE_S
    while list(bereaved.journal.unfinished()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
    assert not bereaved.service._orphans.is_half_done(lost)


def test_a_vm_that_is_kept_is_asked_for_until_it_is_known_what_became_of_it(
    bereaved: Bereaved, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept, tools = departing_id(LEAVING), bereaved.service._tools
    operation = _migration(LEAVING, f"unix://{tmp_path}/nobody")
    bereaved.journal.keep(_entry(LEAVING).model_copy(update={"operation": operation}))
    tools.store.write(sample_vm(kept))
    assert list(bereaved.journal.unfinished()) == [_entry(VM)]
    for _ in range(2):
        _look_at_kept(bereaved)
    assert bereaved.journal.kept() == [kept]
    assert bereaved.service.is_leaving(kept)
    assert caplog.text.count(f"{LEAVING} stands still here as {kept}") == 1
    tools.store.write(sample_vm(LEAVING))  # somebody has started it anew
    _look_at_kept(bereaved)
    assert bereaved.journal.kept() == []
    assert not tools.store.exists(kept)
    assert tools.store.exists(LEAVING)


def test_a_vm_that_is_kept_stays_so_while_its_store_is_away(bereaved: Bereaved) -> None:
    operation = _migration(LEAVING, "unix:///nobody")
    bereaved.journal.keep(_entry(LEAVING).model_copy(update={"operation": operation}))
    bereaved.door.failing = "the daemon is away"
    _look_at_kept(bereaved)
    assert bereaved.journal.kept() == [departing_id(LEAVING)]
    asked_for = _entry(departing_id(LEAVING)).model_copy(update={"token": LeaseToken(3)})
    bereaved.journal.begin(asked_for)  # by an operator
    _look_at_kept(bereaved)
    assert bereaved.journal.read(departing_id(LEAVING)) == asked_for


@pytest.mark.parametrize("by_another", ["ended", "executed anew"])
def test_what_was_handed_over_and_put_right_by_another_meanwhile_is_left_alone(
    bereaved: Bereaved, by_another: str
) -> None:
    tools = bereaved.service._tools
    handed = _entry(LEAVING).model_copy(
        update={"operation": _migration(LEAVING, "unix:///nobody"), "handed_over": True}
    )
    bereaved.journal.begin(handed)
    if by_another == "ended":
        bereaved.journal.end(
            handed, Finished(vm=LEAVING, task=TaskId(1), outcome=Succeeded(), token=LeaseToken(2))
        )
    else:
        bereaved.journal.begin(_entry(LEAVING).model_copy(update={"token": LeaseToken(3)}))
    with tools.locks.held(LEAVING, tools.threads.sleep) as held:
        assert put_right(handed, tools, held, bereaved.service._signal) is None
        assert LEAVING not in held
        assert departing_id(LEAVING) in held


def test_what_another_has_ended_meanwhile_stays_as_it_ended_and_is_told(bereaved: Bereaved) -> None:
    """That other one may have died, or lost its broker, before it could say so."""
    tools = bereaved.service._tools
    handed = _entry(LEAVING).model_copy(
        update={"operation": _migration(LEAVING, "unix:///nobody"), "handed_over": True}
    )
    ended = Finished(vm=LEAVING, task=TaskId(1), outcome=Succeeded(), token=LeaseToken(2))
    bereaved.journal.begin(handed)
    with ExitStack() as locks:
        locks.enter_context(tools.locks.held(departing_id(LEAVING), tools.threads.sleep))

        class Threads(SystemThreads):
            @override
            def sleep(self, delay_s: float) -> None:
                bereaved.journal.end(handed, ended)
                locks.close()

        waiting = replace(tools, threads=Threads())
        Orphans(WorkerName("w"), waiting, bereaved.service._signal).put_right(LEAVING, TaskId(1))
    assert bereaved.journal.read(LEAVING) == handed.model_copy(update={"finished": ended})
    assert bereaved.changes() == [Changed(vm=LEAVING, changed=(VmObject(id=LEAVING),))]


class _Leaping(SystemThreads):
    """Who sleeps a little sleeps for long; `meanwhile` happens then."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self.leaps = 0

    @override
    def sleep(self, delay_s: float) -> None:
        self._meanwhile()
        self.leaps += 1

    def monotonic(self) -> float:
        return 2 * LOCK_TIMEOUT_S * self.leaps

    def now(self) -> float:
        return self.monotonic()


@pytest.mark.parametrize("is_ended", [True, False], ids=["ended", "still open"])
def test_what_another_holds_and_ends_is_no_warning(
    bereaved: Bereaved, caplog: pytest.LogCaptureFixture, *, is_ended: bool
) -> None:
    """As the next task of its VM, which puts right first what its worker has left, and may take longer."""

    def end() -> None:
        if is_ended:
            ended = Finished(vm=VM, task=TaskId(1), outcome=Succeeded(), token=LeaseToken(2))
            bereaved.journal.end(_entry(VM), ended)

    tools, threads = bereaved.service._tools, _Leaping(end)
    waiting = replace(tools, threads=threads, locks=VmLocks(tools.locks._directory, threads))
    with caplog.at_level("WARNING", "worker"), tools.locks.held(VM, tools.threads.sleep):
        Orphans(WorkerName("w"), waiting, bereaved.service._signal).put_right(VM, TaskId(1))
    assert threads.leaps == 1
    assert ("could not be put right" in caplog.text) is not is_ended


def _look_at_kept(bereaved: Bereaved) -> None:
    kept, deadline = bereaved.service._stranded, time.monotonic() + PATIENCE_S
    kept.look()
    while kept._asking:
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def _migration(vm: VmId, url: str) -> VmMigrate:
    maps: dict[str, Any] = {"vdi_map": (), "vif_map": (), "pci_map": (), "verify_dest": False}
    return VmMigrate(vm=vm, url=url, compress=False, localhost_migration=False, **maps)


OWN_ZEROS = VmId("0f5a1c9e-0000-4000-8000-000000000000")
LEAVING = VmId("1f5a1c9e-0000-4000-8000-0123456789ab")
BACK = VmId("2f5a1c9e-0000-4000-8000-0123456789ab")


def test_nobody_is_told_of_what_leaves_when_all_vms_are_told(bereaved: Bereaved) -> None:
    """But of a VM whose own id looks like a departing one."""
    leaves = _migration(LEAVING, "http://there/services/xenops")
    came = VmReceiveMemory(
        vm=arriving_id(BACK), final=BACK, memory_limit_bytes=1, socket="", compressed=False
    )
    for operation in (leaves, came):
        bereaved.journal.begin(_entry(operation.vm).model_copy(update={"operation": operation}))
    for vm in (OWN_ZEROS, departing_id(LEAVING), departing_id(BACK)):
        bereaved.service._tools.store.write(sample_vm(vm))
    bereaved.service._do([TellAll()])
    gone = {LEAVING, arriving_id(BACK)}
    assert {changed.vm for changed in bereaved.changes()} == {VM, GONE, OWN_ZEROS} | gone
