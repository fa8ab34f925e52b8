"""Guests of every type on libxl: they come up, rest in an image, move into another domain, end when asked."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from boot_sector import SAYS
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life
from engine.image import SIGNATURE
from hvm_subject import Ear, greeting
from leftovers import nothing_left
from schema.atomics.vm import DomainAction
from schema.objects.vm import DomainType, PowerState, Pv, Pvh, Vm
from typing_extensions import override
from xen_guests import MIB, await_words
from xen_lives import Shell, ends_when_asked, moves, rests
from xenlight_subject import XenlightHvmSubject, XenlightSubject


class Killed(SuiteExecution):
    """Its worker is killed when the guest has suspended itself, and some of its memory is in the image."""

    def __init__(self, vm: Vm) -> None:
        super().__init__()
        self._enough = 4 * MIB / vm.memory_static_max

    @override
    def progress(self, fraction: float) -> None:
        if fraction >= self._enough:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture(name="subject", params=(Pv, Pvh), ids=("PV", "PVH"))
def make_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[XenlightSubject]:
    subject = XenlightSubject(tmp_path, request.param)
    yield subject
    subject.end()


@pytest.fixture(name="hvm")
def make_hvm_subject(tmp_path: Path) -> Iterator[XenlightHvmSubject]:
    subject = XenlightHvmSubject(tmp_path)
    yield subject
    subject.end()


def test_a_guest_with_a_kernel_rests_and_moves_and_keeps_what_it_was_told(subject: XenlightSubject) -> None:
    """A PVH guest runs while it moves; a PV one stands still. Its console is that of who arrived."""
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    shell = Shell(subject, life.vm)
    shell.tell("kept=well; echo all is $kept")
    await_words(life.vm.id, "all is well")
    rests(subject, life)
    shell.tell("echo after the rest kept $kept; cat /sys/class/net/eth0/address")
    await_words(life.vm.id, "after the rest kept well")
    arrived = moves(subject, life, live=True)
    shell.tell("echo after the journey kept $kept; cat /sys/block/xvda/size")
    await_words(arrived, "after the journey kept well")
    ends_when_asked(subject, life.vm)
    life.stop()


def test_a_guest_goes_on_whose_worker_is_killed_while_it_is_saved(subject: XenlightSubject) -> None:
    """Nothing that could be taken for its image is left; it can be saved again."""
    life, image = make_life(subject), subject.guests.image()
    life.start()
    subject.let_boot(life.vm)
    subject.backend.stop()
    child = os.fork()
    if child == 0:
        try:
            subject.open()
            subject.backend.vm.save(Killed(life.vm), life.vm, image, live=False)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert Path(image.path).read_bytes().startswith(SIGNATURE)
    subject.open()
    assert not Path(image.path).read_bytes().startswith(SIGNATURE)
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.RUNNING
    assert subject.backend.vm.get_domain_action_request(life.vm) is None
    Shell(subject, life.vm).tell("echo it goes $((40 + 2)) on")
    await_words(life.vm.id, "it goes 42 on")
    rests(subject, life)
    life.stop()


def test_an_hvm_guest_boots_from_its_disk_and_has_a_drive_and_a_cable(hvm: XenlightHvmSubject) -> None:
    life = make_life(hvm)
    cd = hvm.make_cd(life.vm, 2)
    life = Life(hvm, life.vm, Devices(vbds=(*life.devices.vbds, cd), vifs=life.devices.vifs))
    life.start()
    state = hvm.backend.vm.get_state(life.vm)
    assert state.domain_type is DomainType.DOMAIN_HVM
    assert state.power_state is PowerState.PAUSED
    assert greeting(hvm, life.vm) == b"RFB 003.008\n"
    hvm.let_boot(life.vm)
    hvm.backend.vbd.eject(SuiteExecution(), life.id, cd)
    assert hvm.backend.vbd.get_state(life.id, cd).backend_present is None
    medium = hvm.guests.disk("another")
    hvm.backend.vbd.insert(SuiteExecution(), life.id, cd, medium)
    assert hvm.backend.vbd.get_state(life.id, cd).backend_present == medium
    for carrier in (False, True):
        hvm.backend.vif.set_carrier(SuiteExecution(), life.id, life.devices.vifs[0], carrier=carrier)
    ends_when_asked(hvm, life.vm)
    assert hvm.backend.vm.get_domain_action_request(life.vm) is DomainAction.POWEROFF
    life.stop()


def test_an_hvm_guest_rests_in_an_image_and_moves(hvm: XenlightHvmSubject) -> None:
    life = make_life(hvm)
    life.start()
    hvm.let_boot(life.vm)
    rests(hvm, life)
    Ear(hvm, life.vm).await_words(SAYS)
    moves(hvm, life, live=True)
    Ear(hvm, life.vm).await_words(SAYS)
    life.stop()
