"""Guests that boot from a disk of their own, by pygrub, on classic."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicSubject
from engine.backend import Devices
from engine.conformance.subject import Life, refusal
from leftovers import nothing_left
from own_disk import make_own_disk
from schema.ids import DeviceId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.errors import BootloaderError, InternalError
from schema.objects.vbd import Vbd
from schema.objects.vm import IndirectBoot, PowerState, Pv, Pvh, PvIndirectBoot, PvInfo, Vm
from xen_guests import GUEST, await_words
from xen_lives import Shell

WORDS = "quiet panic=-1 cryptomgr.notests"


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path) -> Iterator[ClassicSubject]:
    with nothing_left():
        subject = ClassicSubject(tmp_path)
        yield subject
        subject.end()


def booting_from(vm: Vm, disk: Path, ty: type[Pv] | type[Pvh] = Pv) -> Vm:
    """The console is the host's to say, not the disk's."""
    told = PvIndirectBoot(
        bootloader="pygrub",
        bootloader_args="--entry=0",
        legacy_args="xenops.legacy",
        extra_args="console=hvc0",
        devices=(LocalDisk(path=str(disk)),),
    )
    ty_of_it = ty(info=PvInfo(boot=IndirectBoot(boot=told), framebuffer=False))
    return vm.model_copy(update={"ty": ty_of_it})


@pytest.mark.parametrize("ty", [Pv, Pvh])
def test_a_guest_boots_from_its_own_disk_each_time(
    subject: ClassicSubject, tmp_path: Path, ty: type[Pv] | type[Pvh]
) -> None:
    """It has that disk, too; the kernel is fetched anew when it is started anew."""
    disk = tmp_path / "own"
    make_own_disk(disk, GUEST / "vmlinuz", GUEST / "initrd.gz", WORDS)
    vm = booting_from(subject.vm(), disk, ty)
    backend = LocalDisk(path=str(disk))
    vbd = Vbd(id=DeviceId(vm.id, "xvda"), position=(BusType.XEN, 0, 0), backend=backend)
    life = Life(subject, vm, Devices(vbds=(vbd,)))
    life.start()
    assert subject.backend.vm.get_state(vm).power_state is PowerState.PAUSED
    subject.let_boot(vm)
    Shell(subject, vm).tell("cat /proc/cmdline; cat /sys/block/xvda/size")
    await_words(vm.id, f"{WORDS} xenops.legacy console=hvc0")
    await_words(vm.id, str(disk.stat().st_size // 512))
    life.stop()
    if ty is Pv:
        make_own_disk(disk, GUEST / "vmlinuz", GUEST / "initrd.gz", f"{WORDS} xenops.upgraded")
        life.start()
        subject.let_boot(vm)
        Shell(subject, vm).tell("cat /proc/cmdline")
        await_words(vm.id, "xenops.upgraded")
        life.stop()


def test_a_disk_without_a_kernel_is_told_by_the_bootloader(subject: ClassicSubject, tmp_path: Path) -> None:
    disk = tmp_path / "empty"
    disk.write_bytes(bytes(1 << 20))
    vm = booting_from(subject.vm(), disk)
    life = Life(subject, vm, Devices())
    error = refusal(life.start)
    assert error == BootloaderError(bootloader=vm.id, message="Unable to find partition containing kernel")
    life.stop()


def test_a_kernel_that_is_none_is_told_by_the_builder(subject: ClassicSubject, tmp_path: Path) -> None:
    """Its reader is a process of its own."""
    disk, text = tmp_path / "own", tmp_path / "text"
    text.write_text("This is no kernel.")
    make_own_disk(disk, text, text, WORDS)
    life = Life(subject, booting_from(subject.vm(), disk), Devices())
    error = refusal(life.start)
    assert isinstance(error, InternalError)
    assert "Cannot build the guest" in error.message
    life.stop()
