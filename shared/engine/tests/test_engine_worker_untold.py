import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.insist import Insistent
from bus.memory import MemoryBroker, MemoryBus
from bus.topology import control_queue
from engine.conformance.samples import sample_vbd, sample_vm
from engine.worker.retelling import tell_noted
from engine.worker.untold import Untold, change_of
from schema import rpc
from schema.fault import internal_error
from schema.ids import DeviceId, VmId, WorkerName
from schema.objects.dynamic import VbdObject, VmObject
from schema.records import Changed
from worker_in_hand import INSTANCE, PATIENCE_S, VM, WORKER, World

POLL_S = 0.02
ADDED = Changed(vm=VmId("new"), changed=(VmObject(id="new"),))


def untold(directory: Path, life: str, worker: WorkerName = WORKER) -> Untold:
    return Untold(directory / "untold", worker, life, Insistent(MemoryBus(MemoryBroker(), "u"), INSTANCE))


def test_what_a_life_has_noted_is_left_to_the_next_one_of_its_worker(tmp_path: Path) -> None:
    first = untold(tmp_path, "first")
    note = first.note(ADDED)
    assert note is not None
    assert list(first.left()) == []
    assert list(untold(tmp_path, "other", WorkerName("other")).left()) == []
    second = untold(tmp_path, "second")
    assert [each.changed for each in second.left()] == [ADDED]
    note.forget()
    note.forget()
    assert list(second.left()) == []


def test_a_note_that_was_cut_short_is_none(tmp_path: Path) -> None:
    notes = untold(tmp_path, "second")
    (tmp_path / "untold" / "first-0").write_text('{"worker":')
    assert list(notes.left()) == []
    assert list((tmp_path / "untold").iterdir()) == []


def test_what_cannot_be_noted_is_done_all_the_same(tmp_path: Path) -> None:
    notes = untold(tmp_path, "life")
    (tmp_path / "untold").rmdir()
    assert notes.note(ADDED) is None


def test_a_name_that_is_no_text_is_not_noted(tmp_path: Path) -> None:
    notes = untold(tmp_path, "life")
    hostile = VmId("\udcc5")
    assert notes.note(Changed(vm=hostile, changed=(VmObject(id=hostile),))) is None
    assert list((tmp_path / "untold").iterdir()) == []


def test_requests_that_change_metadata_say_of_what() -> None:
    disk = VbdObject(id=DeviceId(VM, "xvda"))
    vbd = sample_vbd("xvda", VM)
    assert change_of("VM.add", {"vm": sample_vm("new")}) == ADDED
    assert change_of("VBD.add", {"vbd": vbd}) == Changed(vm=VM, changed=(disk,))
    assert change_of("VBD.remove", {"id": vbd.id}) == Changed(vm=VM, changed=(disk,))
    assert change_of("VBD.stat", {"id": vbd.id}) is None
    assert change_of("HOST.stat", {}) is None


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def notes_of(world: World) -> list[Path]:
    return list((world.directory / "state" / "untold").iterdir())


def wait_until_none_is_noted(world: World) -> None:
    """The note goes just after the log has the record."""
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / POLL_S)):
        if not notes_of(world):
            return
        pause.wait(POLL_S)
    raise AssertionError(notes_of(world))


def add(world: World) -> bytes:
    body = rpc.encode_request("VM.add", debug_info="d", vm=sample_vm("new"))
    return world.leader.call(control_queue(INSTANCE), body, PATIENCE_S)


def test_a_change_that_the_log_has_is_noted_no_more(world: World) -> None:
    assert rpc.decode_response("VM.add", add(world)) == "new"
    world.wait_for(lambda record: record == ADDED)
    wait_until_none_is_noted(world)


def test_what_has_changed_nothing_is_noted_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise internal_error("the store is away")

    monkeypatch.setattr(world.store, "write", refuse)
    assert b"the store is away" in add(world)
    assert notes_of(world) == []


def test_a_worker_that_died_before_it_told_a_change_tells_it_when_it_is_started_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.service._untold, "tell", lambda *_: None)
    assert rpc.decode_response("VM.add", add(world)) == "new"
    assert ADDED not in world.records
    world.restart()
    world.wait_for(lambda record: record == ADDED)
    wait_until_none_is_noted(world)


def test_a_change_is_told_later_if_the_store_cannot_say_what_came_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: object) -> None:
        raise internal_error("the store is away")

    note = untold(world.directory / "state", "earlier").note(ADDED)
    assert note is not None
    monkeypatch.setattr(world.store.vgpus, "list", refuse)
    tell_noted((note,), world.service._untold, world.service._tools)
    assert "the store is away" in caplog.text
    assert len(notes_of(world)) == 1
