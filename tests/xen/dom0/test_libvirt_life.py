"""What is special of Xen by libvirt: how guests end, who survives whom, whose domains are left alone."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import xen_libvirtd
from boot_sector import SAYS
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life, refusal
from hvm_subject import Ear
from leftovers import nothing_left
from libvirt_subject import LibvirtHvmSubject, LibvirtSubject
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import VmObject
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState, Pvh
from xen_guests import GUEST, PATIENCE_S, UP, await_words
from xen_lives import Shell, Wire, ends_when_asked, moves, rests

STRANGER = f"""\
<domain type='xen'>
  <name>stranger</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='xenpv'>linux</type><kernel>{GUEST}/vmlinuz</kernel></os>
</domain>
"""


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path) -> Iterator[LibvirtSubject]:
    """A stranger's domain is there throughout."""
    xen_libvirtd.start()
    with nothing_left():
        (tmp_path / "stranger.xml").write_text(STRANGER)
        virsh("create", "--paused", str(tmp_path / "stranger.xml"))
        subject = LibvirtSubject(tmp_path)
        yield subject
        subject.end()
        assert virsh("domstate", "stranger").strip() == "paused"
        virsh("destroy", "stranger")


def virsh(*words: str) -> str:
    command = ["virsh", "-c", xen_libvirtd.URI, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("does", "action"),
    [
        ("poweroff", DomainAction.POWEROFF),
        ("reboot", DomainAction.REBOOT),
        ("panic", DomainAction.CRASHDUMP),
    ],
)
def test_what_a_guest_that_ends_wants_is_known(
    subject: LibvirtSubject, does: str, action: DomainAction
) -> None:
    life = Life(subject, subject.vm(f"xenops.then={does}"), Devices())
    life.start()
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    assert subject.changes.get(timeout=PATIENCE_S) == VmObject(id=life.vm.id)
    assert subject.backend.vm.get_domain_action_request(life.vm) is action
    subject.reopen()
    assert subject.backend.vm.get_domain_action_request(life.vm) is action
    life.stop()


def test_a_guest_lives_through_the_end_of_libvirtd_and_is_known_again(subject: LibvirtSubject) -> None:
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    before = subject.backend.vm.get_state(life.vm)
    xen_libvirtd.kill()
    until(lambda: is_lost(subject, life))
    xen_libvirtd.start()
    until(lambda: not is_lost(subject, life))
    assert subject.backend.vm.get_state(life.vm) == before
    subject.backend.vm.pause(SuiteExecution(), life.vm)
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.PAUSED
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    life.stop()
    with suppress(subprocess.CalledProcessError):  # a libvirtd that was started anew takes it for running
        virsh("suspend", "stranger")


def test_a_guest_moves_or_goes_on_where_it_was(subject: LibvirtSubject) -> None:
    """It keeps what it was told, and its name at libvirt; nothing of its way is left."""
    life, files = make_life(subject), subject.hypervisor.settings.run / "images"
    life.start()
    subject.let_boot(life.vm)
    shell = Shell(subject, life.vm)
    shell.tell("kept=well")
    wire = Wire()
    wire.close()
    error = refusal(lambda: subject.backend.vm.save(SuiteExecution(), life.vm, wire, live=True))
    assert isinstance(error, InternalError)
    wire.end()
    shell.tell("echo at home kept $kept")
    await_words(life.vm.id, "at home kept well")
    moves(subject, life, live=True)
    shell.tell("echo after the journey kept $kept; cat /sys/block/xvda/size")
    await_words(life.vm.id, "after the journey kept well")
    assert life.vm.id in virsh("list", "--name")
    assert list(files.iterdir()) == []
    ends_when_asked(subject, life.vm)
    life.stop()


def is_lost(subject: LibvirtSubject, life: Life) -> bool:
    try:
        subject.backend.vm.get_state(life.vm)
    except XenopsError:
        return True
    return False


def test_a_save_that_a_worker_died_in_is_found_whole_and_goes_on(
    subject: LibvirtSubject, tmp_path: Path
) -> None:
    """By what Xen has really written."""
    life, image = make_life(subject), tmp_path / "image"
    life.start()
    subject.let_boot(life.vm)
    subject.hypervisor.change(life.vm.id, lambda machine: machine.with_domain(saving=str(image)))
    subject.backend.stop()
    virsh("save", life.vm.id, str(image))
    subject.open()
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.SUSPENDED
    life.stop()
    disk = LocalDisk(path=str(image))
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    life.start_steps()[0](SuiteExecution())
    verbs = subject.backend.vm
    error = refusal(lambda: verbs.restore(SuiteExecution(), life.vm, life.devices, disk))
    assert isinstance(error, InternalError)
    assert "damaged" in error.message
    image.write_bytes(whole)
    verbs.restore(SuiteExecution(), life.vm, life.devices, disk)
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    assert verbs.get_state(life.vm).power_state is PowerState.RUNNING
    assert subject.backend.vif.get_state(life.id, life.devices.vifs[0]).plugged
    life.stop()


@pytest.mark.usefixtures("subject")
def test_a_guest_as_pvh_comes_up_and_moves(tmp_path: Path) -> None:
    (tmp_path / "pvh").mkdir()
    other = LibvirtSubject(tmp_path / "pvh", Pvh)
    try:
        life = make_life(other)
        life.start()
        other.backend.vm.unpause(SuiteExecution(), life.vm)
        await_words(life.vm.id, UP)
        shell = Shell(other, life.vm)
        shell.tell("kept=well")
        moves(other, life, live=True)
        shell.tell("echo after the journey kept $kept")
        await_words(life.vm.id, "after the journey kept well")
        life.stop()
    finally:
        other.end()


@pytest.mark.usefixtures("subject")
def test_an_hvm_guest_boots_from_its_disk_and_rests_in_an_image(tmp_path: Path) -> None:
    (tmp_path / "hvm").mkdir()
    other = LibvirtHvmSubject(tmp_path / "hvm")
    try:
        life = make_life(other)
        life.start()
        other.let_boot(life.vm)
        rests(other, life)
        Ear(other, life.vm).await_words(SAYS)
        ends_when_asked(other, life.vm)
        life.stop()
    finally:
        other.end()
