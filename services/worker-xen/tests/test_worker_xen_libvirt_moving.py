"""Xen by libvirt, with a libvirt in hand: a VM goes from one host to another, or stays where it was."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from engine.backend import CreateOptions
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, refusal
from engine.image import ImageStream
from libvirt_in_hand import InHand, running, words
from schema.atomics.vm import RenameWhen
from schema.fault import internal_error
from schema.ids import VmId
from schema.objects.errors import Cancelled
from schema.objects.vm import PowerState
from typing_extensions import override
from worker_xen.xenlight import bridging


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InHand]:
    monkeypatch.setattr(bridging, "_INTERFACES", tmp_path / "net")
    subject = InHand(tmp_path)
    yield subject
    subject.close()


@pytest.fixture(name="life")
def start_life(subject: InHand) -> Life:
    return running(subject)


class Wire(ImageStream):
    """A connection that keeps all, or is lost after so many bytes."""

    def __init__(self, bytes_max: int | None = None) -> None:
        self.carried = bytearray()
        self._bytes_max = bytes_max

    @override
    def write(self, data: bytes | memoryview) -> None:
        self.carried += data
        if self._bytes_max is not None and len(self.carried) > self._bytes_max:
            raise internal_error("the connection was lost")

    @override
    def read(self, size: int) -> bytes:
        found = bytes(self.carried[:size])
        del self.carried[:size]
        return found


def on_the_way(subject: InHand) -> list[Path]:
    """Files of VMs between two hosts."""
    return list((subject.directory / "run" / "images").glob("*"))


def test_a_vm_moves_into_another_domain_of_its_host_and_leaves_no_file(subject: InHand, life: Life) -> None:
    verbs, wire = subject.backend.vm, Wire()
    arriving = Life(subject, life.vm.model_copy(update={"id": "arriving"}), life.devices)
    verbs.create(SuiteExecution(), arriving.vm, life.devices, CreateOptions(final=life.id))
    before = subject.room.only().uuid
    verbs.save(SuiteExecution(), life.vm, wire, live=True)
    assert verbs.get_state(life.vm).power_state is PowerState.SUSPENDED
    verbs.restore(SuiteExecution(), arriving.vm, life.devices, wire)
    assert subject.room.only().uuid == before
    assert subject.room.only().document.findtext("name") == life.vm.id
    assert on_the_way(subject) != []
    life.stop()
    assert on_the_way(subject) == []
    verbs.remove(life.vm)
    verbs.rename(VmId("arriving"), life.id, RenameWhen.POST_MIGRATION)
    verbs.unpause(SuiteExecution(), life.vm)
    assert verbs.get_state(life.vm).power_state is PowerState.RUNNING
    life.stop()
    assert not subject.room.domains


def test_a_vm_that_cannot_be_sent_goes_on_where_it_was(subject: InHand, life: Life) -> None:
    verbs = subject.backend.vm
    for wire in (Wire(4), Wire(100)):
        error = words(partial(verbs.save, SuiteExecution(), life.vm, wire, live=False))
        assert error == "the connection was lost"
        assert verbs.get_state(life.vm).power_state is PowerState.RUNNING
        assert on_the_way(subject) == []
    cancelled = refusal(lambda: verbs.save(SuiteExecution(cancel_at=2), life.vm, Wire(), live=False))
    assert isinstance(cancelled, Cancelled)
    assert verbs.get_state(life.vm).power_state is PowerState.RUNNING


def test_what_is_sent_by_nobody_or_to_nobody_makes_no_domain(subject: InHand, life: Life) -> None:
    verbs, wire = subject.backend.vm, Wire()
    verbs.save(SuiteExecution(), life.vm, wire, live=False)
    arriving = Life(subject, life.vm.model_copy(update={"id": "arriving"}), life.devices)
    verbs.create(SuiteExecution(), arriving.vm, life.devices, CreateOptions(final=life.id))
    wire.carried[-1] ^= 1
    restore = verbs.restore
    assert "damaged" in words(lambda: restore(SuiteExecution(), arriving.vm, life.devices, wire))
    wire.carried[:] = b"XenSavedDomv2-\n" * 2
    assert "is it libvirt?" in words(lambda: restore(SuiteExecution(), arriving.vm, life.devices, wire))
    assert not subject.room.domains
    verbs.resume(SuiteExecution(), life.vm)
    assert verbs.get_state(life.vm).power_state is PowerState.RUNNING
    assert on_the_way(subject) == []


def test_a_worker_that_died_while_it_sent_a_vm_lets_it_go_on_and_tidies_up(
    subject: InHand, life: Life
) -> None:
    verbs = subject.backend.vm
    verbs.save(SuiteExecution(), life.vm, Wire(), live=False)
    [left] = on_the_way(subject)
    (left.parent / "another.coming").write_text("of a worker before")
    subject.reopen()
    assert on_the_way(subject) == [left]
    subject.backend.vm.resume(SuiteExecution(), life.vm)
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.RUNNING
    assert on_the_way(subject) == []
