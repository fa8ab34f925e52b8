"""USB devices of the host on classic: lent to an HVM guest's real device model, and the host's again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.backend import Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.samples import sample_vusb
from engine.conformance.subject import Life, refusal
from hvm_in_hand import have_programs
from schema.objects.errors import InternalError, Unimplemented
from schema.objects.vusb import Vusb
from test_classic_conformance import ClassicHvmSubject, ClassicSubject, standing

TASK = SuiteExecution()
STICK = "1-2"


class Given:
    """A VM that runs on a host with a USB device."""

    def __init__(self, subject: ClassicHvmSubject) -> None:
        self.subject = subject
        self.life = life_on(subject)
        self.vusb = sample_vusb(self.life.vm.id)
        subject.usb.add_usb(STICK, 4, drivers=("usb-storage",))
        self.life.start()
        self.verbs = subject.backend.vusb

    def plug(self) -> None:
        self.verbs.plug(TASK, self.life.id, self.vusb)
        self._drivers_are_gone()

    def _drivers_are_gone(self) -> None:
        """As QEMU has it: what a guest uses, no driver of the host does."""
        driver = self.subject.usb.sysfs / f"bus/usb/devices/{STICK}:1.0/driver"
        driver.unlink(missing_ok=True)
        self.subject.usb.usual[f"{STICK}:1.0"] = "usb-storage"

    def is_plugged(self) -> bool:
        return self.subject.backend.vusb.get_state(self.life.id, self.vusb).plugged

    def is_the_hosts(self) -> bool:
        return (self.subject.usb.sysfs / f"bus/usb/devices/{STICK}:1.0/driver").exists()


def life_on(subject: ClassicSubject) -> Life:
    return Life(subject, subject.make_vm(), Devices())


@pytest.fixture(name="given")
def make_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    have_programs(tmp_path, monkeypatch)
    with standing("oxenstored", ClassicHvmSubject, tmp_path) as subject:
        yield Given(subject)
        subject.end_device_models()


def words_of(vusb: Vusb, given: Given, life: Life) -> str:
    error = refusal(lambda: given.subject.backend.vusb.plug(TASK, life.id, vusb))
    assert isinstance(error, InternalError)
    return error.message


def test_a_device_is_the_guests_and_the_hosts_again(given: Given) -> None:
    for _ in range(2):
        given.plug()
        given.plug()
        assert given.is_plugged()
        assert not given.is_the_hosts()
        given.verbs.unplug(TASK, given.life.id, given.vusb)
        given.verbs.unplug(TASK, given.life.id, given.vusb)
        assert not given.is_plugged()
        assert given.is_the_hosts()
    given.life.stop()


def test_the_host_has_it_again_when_the_vm_ends_also_by_another_worker(given: Given) -> None:
    given.plug()
    given.subject.reopen()
    assert given.is_plugged()
    given.life.stop()
    assert given.is_the_hosts()
    assert not given.is_plugged()


def test_a_vm_is_not_suspended_with_it_and_without_it_rests_with_its_controller(given: Given) -> None:
    verbs, image = given.subject.backend.vm, given.subject.make_image()
    given.subject.let_boot(given.life.vm)
    given.plug()
    for refused in (
        lambda: verbs.assert_can_save(given.life.vm),
        lambda: verbs.save(TASK, given.life.vm, image, live=False),
    ):
        error = refusal(refused)
        assert isinstance(error, InternalError)
        assert f"it has VUSB {given.vusb.id.device} of this host; unplug it first" in error.message
    given.verbs.unplug(TASK, given.life.id, given.vusb)
    verbs.save(TASK, given.life.vm, image, live=False)
    given.life.stop()
    for step in given.life.resume_steps(image):
        step(TASK)
    given.plug()
    assert given.is_plugged()
    given.life.stop()


def test_a_device_that_another_vm_has_is_told(given: Given) -> None:
    given.plug()
    other = life_on(given.subject)
    other.start()
    assert f"in use by VM {given.life.vm.id}" in words_of(sample_vusb(other.vm.id), given, other)
    given.life.stop()
    given.subject.backend.vusb.plug(TASK, other.id, sample_vusb(other.vm.id))
    other.stop()


def test_a_device_that_is_not_there_leaves_nothing(given: Given) -> None:
    absent = sample_vusb(given.life.vm.id, hostport="7")
    assert "no USB device at bus 1, port 7" in words_of(absent, given, given.life)
    assert not given.subject.backend.vusb.get_state(given.life.id, absent).plugged
    given.life.stop()


def test_a_guest_without_hardware_has_none(tmp_path: Path) -> None:
    with standing("oxenstored", ClassicSubject, tmp_path) as subject:
        life = life_on(subject)
        life.start()
        error = refusal(lambda: subject.backend.vusb.plug(TASK, life.id, sample_vusb(life.vm.id)))
        assert error == Unimplemented(what="VUSB.plug of a guest that is not HVM on classic")
        life.stop()
