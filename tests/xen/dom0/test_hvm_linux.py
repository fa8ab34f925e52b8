"""Linux as an HVM guest: its BIOS starts GRUB, it puts emulated hardware away, and has drivers of Xen's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicHvmSubject
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life
from hvm_subject import Ear
from leftovers import nothing_left
from linux_subject import LinuxGuests
from schema.atomics.vm import DomainAction
from xen_lives import Shell, ends_when_asked

TASK = SuiteExecution()


class ClassicLinux(LinuxGuests, ClassicHvmSubject):
    """On classic."""


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path) -> Iterator[LinuxGuests]:
    with nothing_left():
        subject = ClassicLinux(tmp_path)
        yield subject
        subject.end()


def test_linux_boots_from_its_disk_has_devices_by_drivers_of_xen_s_and_ends_when_asked(
    subject: LinuxGuests,
) -> None:
    life = make_life(subject)
    life.start()
    shell, ear = Shell(subject, life.vm), subject.hears_boot(life.vm)
    shell.tell("echo blocks: $(ls /sys/block); echo buses: $(ls /sys/bus/xen/devices)")
    ear.await_words("blocks: xvda")
    ear.await_words("buses: vbd-768 vif-0")
    disks_and_interfaces_come_and_go(subject, life, ear)
    ends_when_asked(subject, life.vm)
    assert subject.backend.vm.get_domain_action_request(life.vm) is DomainAction.POWEROFF
    life.stop()


def disks_and_interfaces_come_and_go(subject: LinuxGuests, life: Life, ear: Ear) -> None:
    """The guest hears of each, and lets it go; and its cards, which it has put away, are not missed."""
    disk, nic = subject.make_vbd(life.vm, 1), subject.make_vif(life.vm, 1)
    verbs = subject.backend
    verbs.vbd.attach(TASK, life.id, disk)
    verbs.vbd.activate(TASK, life.id, disk)
    ear.await_words("disk xvdb came")
    verbs.vif.plug(TASK, life.id, nic)
    ear.await_words("interface eth1 came")
    for carrier in (False, True):
        verbs.vif.set_carrier(TASK, life.id, life.devices.vifs[0], carrier=carrier)
    verbs.vbd.deactivate(TASK, life.id, disk, force=False)
    verbs.vbd.detach(TASK, life.id, disk)
    ear.await_words("disk xvdb went")
    verbs.vif.unplug(TASK, life.id, nic, force=False)
    ear.await_words("interface eth1 went")
