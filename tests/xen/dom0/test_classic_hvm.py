"""HVM guests on classic: they boot from a disk, rest in an image, are switched off, lose their hardware."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boot_sector import SAYS
from classic_subject import ClassicHvmSubject
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life
from hvm_subject import Ear, greeting
from leftovers import nothing_left
from schema.atomics.vm import DomainAction
from schema.objects.vm import ConsoleProtocol, DomainType, PowerState
from xen_guests import PATIENCE_S
from xen_lives import ends_when_asked, moves, rests


@pytest.fixture(name="subject", scope="module")
def make_subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassicHvmSubject]:
    with nothing_left():
        subject = ClassicHvmSubject(tmp_path_factory.mktemp("hvm"))
        yield subject
        subject.end()


def until(found: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < end
        time.sleep(0.1)


def model_of(life: Life) -> Path:
    """Its device model's directory in proc(5)."""
    screen = Path(life.subject.backend.vm.get_state(life.vm).consoles[0].path)
    word = str(screen.with_name("pid")).encode()
    processes = Path("/proc").glob("[0-9]*/cmdline")
    return next(path.parent for path in processes if word in path.read_bytes().split(b"\0"))


def test_an_hvm_guest_boots_from_its_disk_and_has_a_picture_a_drive_and_a_cable(
    subject: ClassicHvmSubject,
) -> None:
    life = make_life(subject)
    cd = subject.make_cd(life.vm, 2)
    life = Life(subject, life.vm, Devices(vbds=(*life.devices.vbds, cd), vifs=life.devices.vifs))
    life.start()
    state = subject.backend.vm.get_state(life.vm)
    assert state.domain_type is DomainType.DOMAIN_HVM
    assert state.power_state is PowerState.PAUSED
    assert [console.protocol for console in state.consoles] == [ConsoleProtocol.RFB, ConsoleProtocol.VT100]
    assert greeting(subject, life.vm) == b"RFB 003.008\n"
    subject.let_boot(life.vm)
    subject.backend.vbd.eject(SuiteExecution(), life.id, cd)
    assert subject.backend.vbd.get_state(life.id, cd).backend_present is None
    medium = subject.guests.disk("another")
    subject.backend.vbd.insert(SuiteExecution(), life.id, cd, medium)
    assert subject.backend.vbd.get_state(life.id, cd).backend_present == medium
    subject.backend.vif.set_carrier(SuiteExecution(), life.id, life.devices.vifs[0], carrier=False)
    subject.backend.vif.set_carrier(SuiteExecution(), life.id, life.devices.vifs[0], carrier=True)
    life.stop()


def test_an_hvm_guest_is_switched_off_by_its_button(subject: ClassicHvmSubject) -> None:
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    ends_when_asked(subject, life.vm)
    assert subject.backend.vm.get_domain_action_request(life.vm) is DomainAction.POWEROFF
    life.stop()


def test_an_hvm_guest_rests_in_an_image_and_moves(subject: ClassicHvmSubject) -> None:
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    rests(subject, life)
    Ear(subject, life.vm).await_words(SAYS)
    moves(subject, life, live=True)
    Ear(subject, life.vm).await_words(SAYS)
    life.stop()


def test_a_device_model_has_hardly_any_rights_and_its_guest_crashes_with_it(
    subject: ClassicHvmSubject,
) -> None:
    life = make_life(subject)
    life.start()
    model = model_of(life)
    assert list((model / "root").iterdir()) == []
    (domid,) = subject.backend.vm.get_state(life.vm).domids
    user = str(ClassicHvmSubject.users[0] + domid)
    assert f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in (model / "status").read_text()
    subject.let_boot(life.vm)
    subject.reopen()
    subject.changed.clear()
    os.kill(int(model.name), signal.SIGKILL)
    until(lambda: bool(subject.changed))
    assert subject.backend.vm.get_domain_action_request(life.vm) is DomainAction.CRASHDUMP
    life.stop()


def test_a_device_model_that_died_while_no_worker_looked_is_noticed(subject: ClassicHvmSubject) -> None:
    life = make_life(subject)
    life.start()
    model = model_of(life)
    subject.backend.stop()
    os.kill(int(model.name), signal.SIGKILL)
    subject.open()
    until(lambda: subject.backend.vm.get_domain_action_request(life.vm) is DomainAction.CRASHDUMP)
    life.stop()
