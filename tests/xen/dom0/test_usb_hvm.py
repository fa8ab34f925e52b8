"""A USB device of the host among an HVM guest's hardware: on classic its device model is lent the file."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicHvmSubject
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vusb
from engine.conformance.subject import make_life, refusal
from hvm_subject import BootSectors
from leftovers import nothing_left
from schema.objects.errors import InternalError
from xen_guests import PATIENCE_S
from xenlight_subject import XenlightHvmSubject

TASK = SuiteExecution()
KEYBOARD = Path("/sys/bus/usb/devices/1-1:1.0/driver")
"""Of the host; a boot sector asks for nothing of its own of it."""


@pytest.fixture(name="subject", params=(ClassicHvmSubject, XenlightHvmSubject))
def make_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BootSectors]:
    subprocess.run(["modprobe", "--all", "xhci_pci", "usbhid"], check=True)
    end = time.monotonic() + PATIENCE_S
    while not KEYBOARD.exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    with nothing_left():
        subject: BootSectors = request.param(tmp_path)
        yield subject
        subject.end()


def test_a_keyboard_is_a_guests_and_the_hosts_again(subject: BootSectors) -> None:
    life, verbs = make_life(subject), subject.backend.vusb
    keyboard = sample_vusb(life.vm.id, hostbus="1", hostport="1")
    assert KEYBOARD.resolve().name == "usbhid"
    life.start()
    subject.let_boot(life.vm)
    verbs.plug(TASK, life.id, keyboard)
    assert verbs.get_state(life.id, keyboard).plugged
    assert not KEYBOARD.exists()
    error = refusal(lambda: subject.backend.vm.assert_can_save(life.vm))
    assert isinstance(error, InternalError)
    assert "of this host; unplug it first" in error.message
    verbs.unplug(TASK, life.id, keyboard)
    assert not verbs.get_state(life.id, keyboard).plugged
    assert KEYBOARD.resolve().name == "usbhid"
    image = subject.make_image()
    subject.backend.vm.save(TASK, life.vm, image, live=False)
    life.stop()
    for step in life.resume_steps(image):
        step(TASK)
    verbs.plug(TASK, life.id, keyboard)
    assert not KEYBOARD.exists()
    life.stop()
    assert KEYBOARD.resolve().name == "usbhid"
