import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine.cancellation import Cancellation
from engine.conformance import SuiteExecution
from engine.conformance.hosts import PATIENCE_S, Killed, Life, Task
from engine.conformance.samples import sample_vbd, sample_vm, start_sample
from engine.migrate import remains
from engine.migrate.fate import fate_of
from engine.simulator import Fail, Fault
from pair_in_hand import LIVE, VM, Pair
from schema.atomics.vm import RenameWhen
from schema.fault import XenopsError, internal_error
from schema.ids import TaskId, VmId
from schema.migration import arriving_id, departing_id
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import VmObject
from schema.objects.errors import BadPowerState
from schema.objects.vgpu import Vgpu
from schema.objects.vm import PowerState
from schema.operations import VmMigrate, VmReceiveMemory

PAUSE_S = 0.02


@pytest.fixture(name="pair")
def make_pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


@pytest.mark.parametrize("fields", [{"compress": False}, {"compress": True}], ids=str)
def test_a_vm_goes_to_another_host_with_all_that_it_had(pair: Pair, fields: dict[str, Any]) -> None:
    assert pair.migrate(**fields).end() is None
    assert pair.end_there() == [None]
    pair.assert_one_lives(pair.there)
    assert pair.there.state(VM) is PowerState.RUNNING
    assert pair.here.store.ids() == ()


def test_a_vm_whose_suspend_was_not_brought_to_its_end_does_not_migrate(pair: Pair) -> None:
    """It has a domain, whose memory was given away: source and destination would wait for it for ever."""
    vm = pair.here.store.read(VM)
    pair.here.backend.vm.save(SuiteExecution(), vm, LocalDisk(path="/image"), live=False)
    failed = pair.migrate().end()
    assert isinstance(failed, XenopsError)
    assert failed.error == BadPowerState(found=PowerState.SUSPENDED, expected=PowerState.RUNNING)
    assert pair.there.store.ids() == ()


def test_a_vm_whose_temporary_id_is_another_vms_does_not_migrate(pair: Pair) -> None:
    other = sample_vm(departing_id(VM))
    pair.here.store.write(other)
    start_sample(pair.here.backend, other)
    assert "is another VM's: remove that one first" in str(pair.migrate().end())
    assert pair.here.state(VM) is PowerState.RUNNING
    assert pair.here.state(departing_id(VM)) in LIVE
    assert pair.there.store.ids() == ()


def test_a_vm_migrates_within_its_host(pair: Pair) -> None:
    assert pair.migrate(url=pair.here.url, localhost_migration=True).end() is None
    assert [task.end() for _, task in pair.here.arrivals] == [None]
    pair.assert_one_lives(pair.here)


def test_virtual_gpus_go_by_a_channel_of_their_own(pair: Pair) -> None:
    vgpu = Vgpu(id=sample_vbd("vgpu0", vm=VM).id)
    pair.here.store.vgpus.write(vgpu)
    assert pair.migrate().end() is None
    pair.assert_one_lives(pair.there)
    assert pair.there.backend.vgpu.get_state(VM, vgpu).plugged


VERBS_THERE = ("VM.create", "VM.restore")


@pytest.mark.parametrize("verb", VERBS_THERE)
def test_a_destination_that_fails_says_why_and_the_vm_goes_on(tmp_path: Path, verb: str) -> None:
    pair = Pair(tmp_path, there=(Fault(verb=verb, vm=arriving_id(VM), effect=Fail()),))
    outcome = pair.migrate().end()
    assert isinstance(outcome, XenopsError)
    assert "told to fail here" in str(outcome)
    pair.assert_one_lives(pair.here)
    assert pair.here.state(VM) is PowerState.RUNNING
    pair.close()


def test_a_vm_that_cannot_take_its_name_back_at_once_gets_it_later(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.there.notes = False
    rename, failures = pair.here.store.rename, [internal_error("the disk is full")]

    def rename_later(vm: str, name: str) -> None:
        if name == VM and failures:
            raise failures.pop()
        rename(vm, name)

    monkeypatch.setattr(pair.here.store, "rename", rename_later)
    assert isinstance(pair.migrate().end(), XenopsError)
    pair.end_there()
    assert not failures
    pair.assert_one_lives(pair.here)
    assert pair.here.state(VM) is PowerState.RUNNING


def test_that_a_vm_cannot_go_on_at_its_source_is_logged_and_its_clients_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resumes = Fault(verb="VM.resume", vm=VM, effect=Fail())
    pair = Pair(tmp_path, resumes, there=(Fault(verb="VM.restore", vm=arriving_id(VM), effect=Fail()),))
    assert isinstance(pair.migrate().end(), XenopsError)
    assert "cannot go on after its migration has failed" in caplog.text
    assert VmObject(id=VM) in pair.here.changed
    pair.close()


def test_a_destination_that_cannot_note_that_it_has_the_vm_gives_it_up_and_it_goes_on(pair: Pair) -> None:
    pair.there.notes = False
    outcome = pair.migrate().end()
    assert "the disk is full" in str(outcome)
    pair.end_there()
    pair.assert_one_lives(pair.here)
    assert pair.here.state(VM) is PowerState.RUNNING


def test_a_source_that_waits_no_more_because_its_frontend_was_restarted_is_missed_in_words(
    pair: Pair,
) -> None:
    arriving, door = arriving_id(VM), pair.there.url.removeprefix("unix://")
    pair.there.store.write(sample_vm(arriving))
    operation = VmReceiveMemory(
        vm=arriving, final=VM, memory_limit_bytes=1, socket=door, ticket="of before", compressed=False
    )
    task = pair.there.receiving(operation)
    task.start()
    outcome = task.end()
    assert isinstance(outcome, XenopsError)
    assert f"does not wait at the frontend at {door} any more" in str(outcome)
    assert pair.there.store.ids() == ()


def test_a_vm_that_cannot_take_its_name_at_its_destination_at_once_gets_it_later(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, failures = pair.there.store.rename, 2 * [internal_error("the disk is full")]

    def rename_later(vm: str, name: str) -> None:
        if failures:
            raise failures.pop()
        rename(vm, name)

    monkeypatch.setattr(pair.there.store, "rename", rename_later)
    assert pair.migrate().end() is None
    assert pair.end_there() == [None]
    assert not failures
    pair.assert_one_lives(pair.there)
    assert pair.there.state(VM) is PowerState.RUNNING


GIVING_UP = ("VM.restore", "VM.destroy")


def test_a_destination_that_fails_also_while_it_gives_up_tries_again(tmp_path: Path) -> None:
    faults = [Fault(verb=verb, vm=arriving_id(VM), call=1, effect=Fail()) for verb in GIVING_UP]
    pair = Pair(tmp_path, there=tuple(faults))
    assert "told to fail here" in str(pair.migrate().end())
    pair.end_there()
    pair.assert_one_lives(pair.here)
    pair.close()


@pytest.mark.parametrize("failures", [2, 4])
def test_a_source_that_fails_also_while_it_clears_up_tries_again_and_then_notes_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    monkeypatch.setattr("engine.migrate.remains.TRIES_WAIT_S", 0.0)
    faults = [Fault(verb="VM.destroy", call=call + 1, effect=Fail()) for call in range(failures)]
    pair = Pair(tmp_path, *faults)
    assert "told to fail here" in str(pair.migrate().end())
    assert pair.end_there() == [None]
    assert pair.there.state(VM) is PowerState.RUNNING
    is_left = failures > remains.TRIES
    assert pair.here.left_over == list(pair.here.store.ids()) == is_left * [departing_id(VM)]
    pair.close()


def test_a_destination_that_cannot_take_away_what_it_made_notes_that_and_the_vm_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.migrate.remains.TRIES_WAIT_S", 0.0)
    monkeypatch.setattr("engine.migrate.source.TIDY_TIMEOUT_S", 0.0)
    verbs = ("VM.restore", *(remains.TRIES * ("VM.destroy",)))
    calls = [(verb, verbs[:number].count(verb) + 1) for number, verb in enumerate(verbs)]
    faults = [Fault(verb=verb, vm=arriving_id(VM), call=call, effect=Fail()) for verb, call in calls]
    pair = Pair(tmp_path, there=tuple(faults))
    assert "told to fail here" in str(pair.migrate().end())
    pair.end_there()
    assert pair.there.left_over == [arriving_id(VM)]
    assert pair.here.state(VM) is PowerState.RUNNING
    pair.close()


def test_clients_are_told_that_a_vm_has_left_though_its_migration_failed(tmp_path: Path) -> None:
    pair = Pair(tmp_path, there=(Fault(verb="VM.unpause", vm=VM, effect=Fail()),))
    assert "Synchronisation point 4" in str(pair.migrate().end())
    pair.end_there()
    assert VmObject(id=VM) in pair.here.changed
    assert pair.here.store.ids() == ()
    pair.close()


def test_a_source_that_fails_tells_nobody_and_the_vm_goes_on(tmp_path: Path) -> None:
    pair = Pair(tmp_path, Fault(verb="VM.save", effect=Fail()))
    assert isinstance(pair.migrate().end(), XenopsError)
    pair.end_there()
    pair.assert_one_lives(pair.here)
    pair.close()


@pytest.mark.parametrize("failures", [1, 2])
def test_a_vm_steps_aside_while_its_state_goes_out_or_after_it_or_stays(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    rename = pair.here.store.rename
    failed: list[VmId] = []

    def fails_at_first(vm: VmId, name: VmId) -> None:
        if len(failed) < failures:
            failed.append(name)
            raise internal_error("told to fail here")
        rename(vm, name)

    monkeypatch.setattr(pair.here.store, "rename", fails_at_first)
    outcome = pair.migrate().end()
    pair.end_there()
    assert failed == [departing_id(VM)] * failures
    assert (outcome is None) == (failures == 1)
    pair.assert_one_lives(pair.there if outcome is None else pair.here)


@pytest.mark.parametrize("side", ["here", "there"])
def test_a_migration_that_is_cancelled_at_any_point_leaves_one_vm(tmp_path: Path, side: str) -> None:
    ended = False
    for point in range(1, 200, 2):
        pair = Pair(tmp_path / f"{side}{point}", transfer_s=0.01)
        getattr(pair, side).cancellation = Cancellation(TaskId(1), point)
        outcome = pair.migrate().end()
        pair.end_there()
        pair.assert_one_lives(pair.here if outcome else pair.there)
        pair.close()
        if outcome is None:
            ended = True
            break
    assert ended


@pytest.mark.parametrize("side", ["here", "there"])
def test_a_worker_that_dies_at_any_step_leaves_one_vm(tmp_path: Path, side: str) -> None:
    deaths = 0
    for step in range(1, 200):
        pair = Pair(tmp_path / f"{side}{step}")
        mortal = getattr(pair, side)
        mortal.life = Life(step)
        task = pair.migrate()
        if side == "here":
            died = isinstance(task.end(), Killed)
            pair.end_there()
            if died:
                pair.here.put_right(migration_of(pair))
        else:
            died = there_dies(pair, task)
        eventually(pair.assert_one_lives)
        pair.close()
        deaths += died
        if not died and arrived(pair):  # on a slow machine it may fail before that step
            break
    assert deaths > 10


def test_a_destination_that_is_away_for_longer_than_its_source_asks_costs_no_vm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.migrate.source.fate_of", partial(fate_of, timeout_s=0.02))
    monkeypatch.setattr("engine.migrate.source.TIDY_TIMEOUT_S", 0.0)
    kept = back = 0
    for step in range(1, 200):
        pair = Pair(tmp_path / f"{step}")
        pair.there.life = Life(step)
        task = pair.migrate()
        died, decided = is_left_away(pair, task), False
        if pair.here.keeps:
            decided = pair.here.look_again(migration_of(pair))
        if died:
            pair.there.put_right(pair.there.arrivals[0][0])
        if pair.here.keeps:
            kept += 1
            assert decided or pair.here.look_again(migration_of(pair))
            back += pair.here.state(VM) is PowerState.PAUSED
            assert VmObject(id=VM) in pair.here.changed
        eventually(pair.assert_one_lives)
        pair.close()
        if not died and arrived(pair):
            break
    assert kept > back > 0


def is_left_away(pair: Pair, task: Task) -> bool:
    """Whether the destination's worker has died, and nobody has taken its place by the end of the task."""
    task.end()
    return [isinstance(ended, Killed) for ended in pair.end_there()] == [True]


def test_what_was_configured_anew_counts_and_what_was_kept_goes(pair: Pair) -> None:
    course_ends_unknown(pair)
    pair.here.store.write(sample_vm(VM))
    assert pair.here.look_again(migration_of(pair))
    assert pair.here.store.ids() == (VM,)
    assert pair.here.state(VM) is PowerState.HALTED
    assert pair.here.state(departing_id(VM)) is PowerState.HALTED


def test_what_an_operator_has_removed_is_kept_no_more(pair: Pair) -> None:
    course_ends_unknown(pair)
    pair.here.store.remove(departing_id(VM))
    assert pair.here.look_again(migration_of(pair))


def course_ends_unknown(pair: Pair) -> None:
    """A source that has handed its VM over hears nothing any more."""
    pair.here.backend.vm.rename(VM, departing_id(VM), RenameWhen.PRE_MIGRATION)
    pair.here.store.rename(VM, departing_id(VM))


def arrived(pair: Pair) -> bool:
    """Whether the VM lives at its destination."""
    try:
        pair.assert_one_lives(pair.there)
    except AssertionError:
        return False
    return True


def eventually(holds: Callable[[], None]) -> None:
    """What a source sent with its last breath may reach the destination after all else has ended."""
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / PAUSE_S)):
        with suppress(AssertionError):
            return holds()
        pause.wait(PAUSE_S)
    return holds()


def there_dies(pair: Pair, task: Task) -> bool:
    """The destination's worker has died, or not; whoever took its place has put right what it left."""
    while task.is_alive() and not pair.there.arrivals:
        task.join(0.01)
    if not pair.there.arrivals:
        assert isinstance(task.end(), XenopsError)  # on a slow machine the source may give up before
        return False
    [(operation, arrival)] = pair.there.arrivals
    died = isinstance(arrival.end(), Killed)
    if died:
        pair.there.put_right(operation)
    task.end()
    return died


def migration_of(pair: Pair) -> VmMigrate:
    return VmMigrate(
        vm=VM,
        vdi_map=(),
        vif_map=(),
        pci_map=(),
        url=pair.there.url,
        compress=False,
        verify_dest=False,
        localhost_migration=False,
    )
