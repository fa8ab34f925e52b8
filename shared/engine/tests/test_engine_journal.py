import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engine.conformance.samples import sample_vm
from engine.journal import FencedError, Journal, JournalEntry
from engine.lock import VmLocks
from schema.atomics.vm import VmImportMetadata
from schema.fault import XenopsError
from schema.ids import LeaseToken, TaskId, VmId
from schema.migration import arrived_id, arriving_id, departing_id
from schema.objects.errors import Cancelled
from schema.objects.metadata import Metadata
from schema.operations import AtomicOperation, VmMigrate, VmReceiveMemory, VmStart
from schema.records import Finished, Succeeded

VM = VmId("v1")
PATIENCE_S = 120.0


def entry(token: int, vm: VmId = VM, life: float = 1.0) -> JournalEntry:
    operation = VmStart(vm=vm)
    return JournalEntry(vm=vm, task=TaskId(1), token=LeaseToken(token), life=life, operation=operation)


FINISHED = Finished(vm=VM, task=TaskId(1), outcome=Succeeded(), token=LeaseToken(5))


def test_an_execution_is_noted_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.read(VM) is None
    journal.begin(entry(5))
    assert list(Journal(tmp_path).unfinished()) == [entry(5)]
    journal.end(entry(5), FINISHED)
    assert list(Journal(tmp_path).unfinished()) == []
    found = Journal(tmp_path).read(VM)
    assert found is not None
    assert found.finished == FINISHED


@pytest.mark.parametrize("token", [4, 5])
def test_a_lease_that_is_not_newer_than_the_last_is_refused(tmp_path: Path, token: int) -> None:
    journal = Journal(tmp_path)
    journal.begin(entry(5))
    with pytest.raises(FencedError, match="lease 5 came before"):
        journal.begin(entry(token))
    journal.begin(entry(6))


def test_a_lease_of_another_life_of_the_log_is_not_older(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(entry(5))
    journal.begin(entry(2, life=2.0))
    assert list(journal.unfinished()) == [entry(2, life=2.0)]


def test_a_lease_behind_one_of_a_log_that_its_worker_has_not_read_is_refused_once(tmp_path: Path) -> None:
    """A worker that stood still, or was cut off, while the log was lost and another went on."""
    stood_still = Journal(tmp_path)
    stood_still.meet(1.0)
    goes_on = Journal(tmp_path)
    goes_on.meet(2.0)
    goes_on.begin(entry(3, life=2.0))
    with pytest.raises(FencedError, match="a log that this one has not read; nothing was done"):
        stood_still.begin(entry(7, life=1.0))
    assert list(stood_still.unfinished()) == [entry(3, life=2.0)]
    stood_still.begin(entry(9, life=1.0))


def test_a_lease_behind_one_of_a_life_that_was_read_or_was_there_at_the_start_is_obeyed(
    tmp_path: Path,
) -> None:
    journal, other = Journal(tmp_path), Journal(tmp_path)
    other.begin(entry(3, life=2.0))
    Journal(tmp_path).begin(entry(1, life=3.0))
    journal.meet(3.0)
    journal.begin(entry(2, life=4.0))


OWN = VmId("1f5a1c9e-0000-4000-8000-0123456789ab")
DEPARTING = departing_id(OWN)


def migration(token: int, *, life: float = 1.0) -> JournalEntry:
    maps: dict[str, Any] = {"vdi_map": (), "vif_map": (), "pci_map": ()}
    how = {"compress": False, "verify_dest": False, "localhost_migration": False}
    operation = VmMigrate(vm=OWN, url="http://there", **maps, **how)
    return entry(token, OWN, life).model_copy(update={"operation": operation})


def arrival(token: int) -> JournalEntry:
    operation = VmReceiveMemory(
        vm=arriving_id(OWN), final=OWN, memory_limit_bytes=1, socket="", compressed=False
    )
    return entry(token, operation.vm).model_copy(update={"operation": operation})


def test_a_vm_leaves_while_its_migration_runs_and_while_it_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert not journal.is_leaving(DEPARTING)
    journal.begin(migration(5))
    assert journal.is_leaving(DEPARTING)
    assert not journal.is_leaving(OWN)
    journal.keep(migration(5))
    journal.begin(entry(6, OWN))  # it was configured anew
    assert journal.is_leaving(DEPARTING)


def test_a_vm_that_came_back_has_left_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(arrival(5))
    journal.begin(entry(6, OWN))
    assert journal.is_leaving(DEPARTING)


def test_what_was_asked_of_a_departing_id_makes_it_a_vm_until_the_next_departure(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(migration(5))
    journal.begin(entry(6, DEPARTING))
    assert not journal.is_leaving(DEPARTING)
    journal.begin(migration(7))
    assert journal.is_leaving(DEPARTING)
    journal.begin(entry(2, DEPARTING, life=2.0))
    assert not journal.is_leaving(DEPARTING)


@pytest.mark.parametrize("own", ["v*", "[v]", "0f5a1c9e-0000-4000-8000-"])
def test_a_vm_whose_own_id_ends_as_departing_ones_do_leaves_nobody(tmp_path: Path, own: str) -> None:
    journal, vm = Journal(tmp_path), VmId(own + "000000000000")
    journal.begin(entry(5, vm))
    journal.begin(entry(6, VmId("v")))
    assert not journal.is_leaving(vm)


def test_a_damaged_entry_is_as_none_and_others_do_not_suffer(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(entry(5))
    journal.begin(entry(6, VmId("v2")))
    (tmp_path / "v1.json").write_text("{")
    assert [found.vm for found in journal.unfinished()] == ["v2"]


def test_what_cannot_be_noted_says_so_and_leaves_no_draft(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    (tmp_path / "journal").rmdir()
    with pytest.raises(XenopsError, match="cannot note in"):
        journal.begin(entry(5))


def test_an_entry_whose_place_is_taken_leaves_no_draft(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "v1.json").mkdir()
    with pytest.raises((XenopsError, OSError)):
        journal.end(entry(5), FINISHED)
    assert [path.name for path in tmp_path.iterdir()] == ["v1.json"]


def test_a_vm_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.end(entry(5), FINISHED)
    journal.forget_ended(VM)
    journal.forget_ended(VM)
    assert journal.read(VM) is None


def test_who_ends_late_leaves_what_a_later_lease_has_noted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(entry(5))
    journal.begin(entry(7))
    journal.end(entry(5), FINISHED)
    assert journal.read(VM) == entry(7)


def test_who_ends_late_leaves_what_a_later_life_has_noted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(entry(5))
    journal.begin(entry(2, life=2.0))
    journal.end(entry(5), FINISHED)
    assert journal.read(VM) == entry(2, life=2.0)
    assert not journal.has_ended(entry(5))


def test_an_arrival_stays_noted_as_one_when_it_has_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(entry(5))
    journal.note_handover(entry(5))
    journal.end(entry(5), FINISHED)
    noted = journal.read(VM)
    assert noted is not None
    assert (noted.handed_over, noted.finished) == (True, FINISHED)


def test_who_has_ended_an_execution_knows_it_until_the_vm_is_gone(tmp_path: Path) -> None:
    journal, another = Journal(tmp_path), Journal(tmp_path)
    journal.end(entry(5), FINISHED)
    assert (journal.has_ended(entry(5)), journal.has_ended(entry(4))) == (True, False)
    assert not another.has_ended(entry(5))
    journal.forget_ended(VM)
    assert not journal.has_ended(entry(5))


def test_tokens_of_two_lives_of_a_log_are_not_compared(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(entry(7, life=1.0))
    journal.begin(entry(5, life=2.0))
    journal.end(entry(5, life=2.0), FINISHED)
    assert journal.read(VM) == entry(5, life=2.0).model_copy(update={"finished": FINISHED})


def test_a_lock_that_was_let_go_of_is_regained_while_nothing_else_is_held(tmp_path: Path) -> None:
    other = VmId("v2")
    with VmLocks(tmp_path).held(VM, lambda _: pytest.fail("nobody else has it")) as held:
        held.also(other)
        held.regain(VM)
        assert (VM in held, other in held) == (True, True)
        held.release(VM)
        held.regain(VM)
        assert (VM in held, other in held) == (True, False)


def test_one_execution_of_a_vm_at_a_time(tmp_path: Path) -> None:
    first, second = VmLocks(tmp_path), VmLocks(tmp_path)
    inside = threading.Event()
    order: list[str] = []

    def wait(delay_s: float) -> None:
        inside.set()
        time.sleep(delay_s)

    def other() -> None:
        with second.held(VM, wait):
            order.append("second")

    with first.held(VM, time.sleep):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(PATIENCE_S)
        with second.held(VmId("v2"), time.sleep):
            order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_wait_for_a_lock_ends_when_the_task_shall_stop(tmp_path: Path) -> None:
    def stop(_delay_s: float) -> None:
        raise XenopsError(Cancelled(task="1"))

    with VmLocks(tmp_path).held(VM, time.sleep), pytest.raises(XenopsError), VmLocks(tmp_path).held(VM, stop):
        pass


def test_a_lock_that_is_never_freed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.lock.LOCK_TIMEOUT_S", 0.0)
    held = VmLocks(tmp_path)
    with (
        held.held(VM, time.sleep),
        pytest.raises(XenopsError, match="find the worker"),
        VmLocks(tmp_path).held(VM, time.sleep),
    ):
        pass


def test_an_unsafe_id_becomes_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(XenopsError, match="cannot name a VM"),
        VmLocks(tmp_path).held(VmId("../x"), time.sleep),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_arrival_is_known_whatever_was_asked_of_its_arriving_id_since(tmp_path: Path) -> None:
    arriving, arrived = arriving_id(OWN), arrived_id(OWN)
    came = entry(1, arriving).model_copy(
        update={
            "operation": VmReceiveMemory(
                vm=arriving, final=OWN, memory_limit_bytes=1, socket="", compressed=False
            ),
            "handed_over": True,
        }
    )
    journal = Journal(tmp_path)
    journal.begin(came)
    assert journal.has_arrived(arrived)
    asked = entry(2, arriving).model_copy(update={"arrived": came.tells_of_arrival})
    journal.begin(asked)
    assert journal.has_arrived(arrived)
    metadata = Metadata(vm=sample_vm(arriving), domains="{}")
    anew = AtomicOperation(atomic=VmImportMetadata(vm=arriving, metadata=metadata))
    journal.begin(asked.model_copy(update={"token": LeaseToken(3), "operation": anew}))
    assert not journal.has_arrived(arrived)
