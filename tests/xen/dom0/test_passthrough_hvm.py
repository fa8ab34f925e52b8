"""A PCI device of the host among an HVM guest's hardware, on a machine with an IOMMU."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicHvmSubject
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life
from hvm_subject import Ear
from leftovers import nothing_left
from pci_sector import CARD, NEW_CARD, NO_CARD, pci_sector
from schema.objects.disk import LocalDisk
from test_passthrough import pci_of


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path) -> Iterator[ClassicHvmSubject]:
    with nothing_left():
        subject = ClassicHvmSubject(tmp_path)
        yield subject
        subject.end()


def life_with_card(subject: ClassicHvmSubject) -> Life:
    vm = subject.make_vm()
    vbd = subject.make_vbd(vm, 0)
    assert isinstance(vbd.backend, LocalDisk)
    with Path(vbd.backend.path).open("r+b") as disk:
        disk.write(pci_sector())
    return Life(subject, vm, Devices(vbds=(vbd,), pcis=(pci_of(vm),)))


def test_a_card_is_used_let_go_of_and_comes_to_a_guest_that_runs(subject: ClassicHvmSubject) -> None:
    """Its memory is the guest's own to read, where its firmware has given it a place."""
    life, verbs = life_with_card(subject), subject.backend.pci
    (card,) = life.devices.pcis
    life.start()
    verbs.plug(SuiteExecution(), life.id, card, use_qmp=True)
    verbs.plug(SuiteExecution(), life.id, card, use_qmp=True)
    assert verbs.get_state(life.id, card).plugged
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    ear = Ear(subject, life.vm)
    ear.await_words(CARD)
    verbs.unplug(SuiteExecution(), life.id, card)
    verbs.unplug(SuiteExecution(), life.id, card)
    assert not verbs.get_state(life.id, card).plugged
    ear.await_words(NO_CARD)
    verbs.plug(SuiteExecution(), life.id, card, use_qmp=True)
    ear.await_words(NEW_CARD)
    verbs.unplug(SuiteExecution(), life.id, card)
    life.stop()


def test_a_card_of_a_guest_that_is_ended_by_force_is_the_next_one_s(subject: ClassicHvmSubject) -> None:
    for _ in range(2):
        life = life_with_card(subject)
        (card,) = life.devices.pcis
        life.start()
        subject.backend.pci.plug(SuiteExecution(), life.id, card, use_qmp=True)
        subject.backend.vm.unpause(SuiteExecution(), life.vm)
        Ear(subject, life.vm).await_words(CARD)
        subject.backend.vm.pause(SuiteExecution(), life.vm)
        subject.backend.vm.destroy_device_model(SuiteExecution(), life.vm)
        subject.backend.pci.unplug(SuiteExecution(), life.id, card)
        life.stop()
