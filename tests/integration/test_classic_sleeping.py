"""An HVM guest on classic sleeps in its memory and is woken: a real device model, a hypervisor in hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life, refusal
from hvm_in_hand import have_programs
from schema.objects.errors import FailedToAcknowledgeSuspendRequest, InternalError, Unimplemented
from schema.objects.vm import Hvm, HvmInfo
from test_classic_conformance import ClassicHvmSubject, ClassicSubject, standing
from test_classic_pcis import pci
from worker_xen import sleep

LINKS, POWER = 0x80000860, 0x80000B80


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClassicHvmSubject]:
    have_programs(tmp_path, monkeypatch)
    with standing("xenstored", ClassicHvmSubject, tmp_path) as subject:
        subject.host.fall_asleep = subject.emulators.fall_asleep
        yield subject
        subject.end_device_models()


@pytest.fixture(name="life")
def start(subject: ClassicHvmSubject) -> Iterator[Life]:
    """A guest that runs, and whose hardware can sleep."""
    life = sleeper(subject)
    life.start()
    subject.let_boot(life.vm)
    yield life
    life.stop()


def sleeper(subject: ClassicHvmSubject, devices: Devices | None = None) -> Life:
    vm = subject.make_vm().model_copy(update={"platformdata": (sleep.HAS_SLEEP,)})
    return Life(subject, vm, devices or Devices())


def domid_of(life: Life) -> int:
    return life.subject.backend.vm.get_state(life.vm).domids[0]


def put_to_sleep(life: Life) -> None:
    life.subject.backend.vm.s3suspend(SuiteExecution(), life.vm)


def wake(life: Life) -> None:
    life.subject.backend.vm.s3resume(SuiteExecution(), life.vm)


@pytest.mark.parametrize("has_drivers", [True, False])
def test_a_guest_sleeps_and_wakes_to_the_hardware_that_its_firmware_had_set_up(
    subject: ClassicHvmSubject, life: Life, *, has_drivers: bool
) -> None:
    """By the word in xenstore, or its button; QEMU alone would forget where ACPI is."""
    subject.host.guests_have_drivers = has_drivers
    domid = domid_of(life)
    for _ in range(2):
        put_to_sleep(life)
        put_to_sleep(life)
        assert subject.host.asleep == {domid}
        wake(life)
        wake(life)
        assert not subject.host.asleep
        assert subject.emulators.configured(domid, POWER) == 1
        assert subject.emulators.configured(domid, LINKS) == 0x050B0A05


def test_a_guest_that_went_to_sleep_by_itself_is_woken(subject: ClassicHvmSubject, life: Life) -> None:
    subject.emulators.fall_asleep(domid_of(life))
    wake(life)
    assert not subject.host.asleep
    assert subject.emulators.do(domid_of(life), "query-status")["status"] == "running"


def test_a_waking_that_a_worker_died_in_is_done_to_its_end(subject: ClassicHvmSubject, life: Life) -> None:
    """Its device model is awake already, and nothing is set up yet."""
    put_to_sleep(life)
    subject.emulators.do(domid_of(life), "system_wakeup")
    subject.reopen()
    wake(life)
    assert not subject.host.asleep
    assert subject.emulators.configured(domid_of(life), POWER) == 1


def test_a_guest_that_sleeps_is_not_saved(subject: ClassicHvmSubject, life: Life) -> None:
    put_to_sleep(life)
    for refused in (
        lambda: subject.backend.vm.assert_can_save(life.vm),
        lambda: subject.backend.vm.save(SuiteExecution(), life.vm, subject.make_image(), live=False),
    ):
        error = refusal(refused)
        assert isinstance(error, InternalError)
        assert error.message.endswith("cannot be saved while its guest sleeps: wake it with VM.s3resume")
    wake(life)
    subject.backend.vm.assert_can_save(life.vm)


@pytest.mark.parametrize("has_drivers", [True, False])
def test_a_guest_that_does_not_sleep_in_time_has_not_acknowledged_it(
    subject: ClassicHvmSubject, life: Life, monkeypatch: pytest.MonkeyPatch, *, has_drivers: bool
) -> None:
    monkeypatch.setattr(sleep, "SLEEP_TIMEOUT_S", 0.2)
    subject.host.guests_have_drivers = has_drivers
    subject.host.fall_asleep = lambda _: None
    assert refusal(lambda: put_to_sleep(life)) == FailedToAcknowledgeSuspendRequest()
    subject.host.guests_listen = False
    assert refusal(lambda: put_to_sleep(life)) == FailedToAcknowledgeSuspendRequest()
    assert not subject.host.asleep


def test_a_guest_that_is_paused_is_not_asked(subject: ClassicHvmSubject, life: Life) -> None:
    subject.backend.vm.pause(SuiteExecution(), life.vm)
    error = refusal(lambda: put_to_sleep(life))
    assert isinstance(error, InternalError)
    assert "unpause it first" in error.message


@pytest.mark.parametrize("what", ["no key", "no ACPI"])
def test_hardware_without_that_sleep_is_told_of(subject: ClassicHvmSubject, what: str) -> None:
    life = make_life(subject) if what == "no key" else sleeper(subject)
    info = HvmInfo(acpi=what != "no ACPI")
    life = Life(subject, life.vm.model_copy(update={"ty": Hvm(info=info)}), Devices())
    life.start()
    subject.let_boot(life.vm)
    error = refusal(lambda: put_to_sleep(life))
    assert isinstance(error, InternalError)
    assert "platform key acpi_s3=1" in error.message
    life.stop()


def test_a_guest_that_may_get_devices_of_the_host_is_not_sent_to_sleep(subject: ClassicHvmSubject) -> None:
    """They would have to be put to rest, too."""
    vm = subject.make_vm()
    life = sleeper(subject, Devices(pcis=(pci(vm, 0),)))
    life.start()
    subject.let_boot(life.vm)
    error = refusal(lambda: put_to_sleep(life))
    assert error == Unimplemented(what="VM.s3suspend of a guest that may get PCI devices on classic")
    life.stop()


def test_a_guest_without_emulated_hardware_is_neither_sent_to_sleep_nor_woken(tmp_path: Path) -> None:
    with standing("xenstored", ClassicSubject, tmp_path) as subject:
        life = make_life(subject)
        life.start()
        error = refusal(lambda: put_to_sleep(life))
        assert error == Unimplemented(what="VM.s3suspend of a guest that is not HVM on classic")
        error = refusal(lambda: wake(life))
        assert error == Unimplemented(what="VM.s3resume of a guest that is not HVM on classic")
        life.stop()
