"""Bootloaders in their cage, on real loop devices: what they fetch, what they see, and how they fail."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, refusal
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import (
    BootloaderError,
    Cancelled,
    InternalError,
    NoBootableDevice,
    Unimplemented,
)
from schema.objects.vm import IndirectBoot, PowerState, Pv, PvIndirectBoot, PvInfo
from test_classic_conformance import ClassicSubject
from test_classic_deaths import make_subject, nothing_is_left
from worker_xen.classic.boot import bootloader, cage
from worker_xen.classic.boot.bootloader import Asked, Booted, Bootloaders
from worker_xen.classic.content import Dom0Content
from worker_xen.classic.dom0 import LinuxDom0

__all__ = ["make_subject", "nothing_is_left"]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="only root can have loop devices and a cage, and the module loop is needed",
)

PATIENCE_S = 120.0
SECTOR = b"sector of the guest's".ljust(512, b".")
FETCH = """
import sys
with open("/disk", "rb") as disk, open("/out/boot_kernel.1", "wb") as kernel:
    kernel.write(disk.read(512))
open("/out/boot_ramdisk.2", "w").write(" ".join(sys.argv[1:]))
print("kernel /out/boot_kernel.1\\nramdisk /out/boot_ramdisk.2\\nargs ro quiet\\n")
"""
LOOK = """
import os
def tried(do):
    try:
        return str(do())
    except OSError as error:
        return error.strerror
open("/out/k", "w").write("\\n".join([
    *sorted(os.listdir("/")),
    f"user {os.getresuid()} {os.getresgid()} {os.getgroups()}",
    f"process {os.getpid()}",
    "disk: " + tried(lambda: os.open("/disk", os.O_RDWR)),
    "host: " + tried(lambda: os.mkdir("/usr/xenops")),
    "root: " + tried(lambda: os.mkdir("/xenops")),
    "child: " + tried(os.fork),
    "files: " + str([n for n in range(3, 64) if tried(lambda: os.fstat(n)) != "Bad file descriptor"]),
]))
print("kernel /out/k")
"""


@dataclass
class Place:
    """A disk of a guest's, and a directory for programs that are taken for pygrub."""

    directory: Path
    disk: Path

    def asked(self, **boot: object) -> Asked:
        told = {"bootloader": "pygrub", "devices": (LocalDisk(path=str(self.disk)),), **boot}
        return Asked("v1", 7, PvIndirectBoot.model_validate(told))

    def bootloaders(self, program: str) -> Bootloaders:
        path = write_program(self.directory, program)
        return Bootloaders(LinuxDom0(), Dom0Content(LinuxDom0()), (70000, 70009), pygrubs=(path,))


@pytest.fixture(name="place")
def make_place(tmp_path: Path) -> Iterator[Place]:
    disk = tmp_path / "disk"
    disk.write_bytes(SECTOR + bytes(7 * 512))
    programs = tmp_path / "programs"
    programs.mkdir(mode=0o755)
    yield Place(programs, disk)
    assert not [loop for loop in Path("/sys/block").glob("loop*/loop/backing_file") if is_of(loop, disk)]


def test_a_vm_boots_by_a_bootloader_each_time(subject: ClassicSubject) -> None:
    """The disk's kernel of now; what is none is refused by whoever builds, a process of its own."""
    programs = subject.directory / "programs"
    programs.mkdir(mode=0o755)
    disk = LocalDisk(path=subject.make_image().model_dump()["path"])
    Path(disk.path).touch()
    boot = PvIndirectBoot(bootloader="pygrub", devices=(disk,))
    ty = Pv(info=PvInfo(boot=IndirectBoot(boot=boot)))
    life = Life(subject, subject.make_vm().model_copy(update={"ty": ty}), Devices())
    for content in ("kernel", "kernel"):
        write_program(programs, f'open("/out/k", "w").write("{content}"); print("kernel /out/k")')
        life.start()
        assert subject.backend.vm.get_state(life.vm).power_state is PowerState.PAUSED
        life.stop()
    write_program(programs, 'open("/out/k", "w").write("nonsense"); print("kernel /out/k")')
    error = refusal(life.start)
    assert isinstance(error, InternalError)
    assert "Cannot build the guest: xc: error: it is no kernel" in error.message
    life.stop()


def write_program(directory: Path, program: str) -> str:
    path = directory / "pygrub"
    path.write_text(f"#!/usr/bin/python3\n{program}")
    path.chmod(0o755)
    return str(path)


def is_of(loop: Path, disk: Path) -> bool:
    try:
        return loop.read_text().strip() == str(disk)
    except OSError:
        return False


def fetched(place: Place, program: str, **boot: object) -> tuple[bytes, bytes | None, str]:
    """Kernel, ramdisk and command line."""
    with place.bootloaders(program).fetched(place.asked(**boot), SuiteExecution()) as booted:
        kernel = booted.kernel
        ramdisk = None if kernel.ramdisk is None else Path(kernel.ramdisk).read_bytes()
        return Path(kernel.path).read_bytes(), ramdisk, kernel.command_line


def refused(place: Place, program: str, **boot: object) -> object:
    return refusal(lambda: fetched(place, program, **boot))


def test_a_kernel_and_a_ramdisk_are_fetched_and_gone_afterwards(place: Place) -> None:
    boot = {"bootloader_args": "--entry=2", "legacy_args": "old", "extra_args": "console=hvc0"}
    kernel, ramdisk, line = fetched(place, FETCH, **boot)
    assert kernel == SECTOR
    assert ramdisk == b"--output-format=simple -q --output-directory=/out --entry=2 /disk"
    assert line == "ro quiet old console=hvc0"
    before = open_files()
    with place.bootloaders(FETCH).fetched(place.asked(), SuiteExecution()) as booted:
        assert isinstance(booted, Booted)
        assert all(os.fstat(descriptor).st_size for descriptor in booted.descriptors)
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_guest_without_a_ramdisk_gets_none(place: Place) -> None:
    assert fetched(place, 'open("/out/k", "w").write("k"); print("kernel /out/k")') == (b"k", None, "  ")


def test_a_bootloader_sees_the_disk_and_usr_and_may_do_nothing(place: Place) -> None:
    """Its user is the domain's, the eighth of the ten; it has open what it has opened itself."""
    seen = fetched(place, LOOK)[0].decode().splitlines()
    shown = {"bin", "dev", "disk", "out", "usr"}
    assert shown <= set(seen)
    assert not {"etc", "home", "proc", "root", "run", "sys", "var"} & set(seen)
    assert {
        "user (70007, 70007, 70007) (70007, 70007, 70007) []",
        "process 1",
        "disk: Permission denied",
        "host: Read-only file system",
        "root: Permission denied",
        "child: Resource temporarily unavailable",
        "files: [3]",
    } <= set(seen)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("", "No kernel found in "),
        ('print("kernel /etc/shadow")', "Malicious guest?"),
        ('print("kernel /out/none")', "There is no file /out/none"),
        ('import os; os.symlink("/usr/bin/env", "/out/k"); print("kernel /out/k")', "There is no file"),
        ('import os; os.mkfifo("/out/k"); print("kernel /out/k")', "is no plain file"),
        ('import os; os.mkdir("/out/k"); print("kernel /out/k")', "is no plain file"),
        ('print("kernel /out/k\\nargs " + "a" * 100_000)', "It has said"),
        ('open("/out/k", "wb").write(bytes(130 << 20))', "File too large"),
        (
            'for name in "klm": open(f"/out/{name}", "wb").write(bytes(100 << 20))',
            "No space left on device",
        ),
        ("bytearray(2 << 30)", "MemoryError"),
        ("import os; os.kill(os.getpid(), 9); os._exit(3)", "it ended with 3, without a word"),
        ("import sys; sys.exit('not like this')", "not like this"),
    ],
)
def test_what_makes_no_sense_is_told_in_the_original_s_words(
    place: Place, program: str, sentence: str
) -> None:
    error = refused(place, program)
    assert isinstance(error, InternalError)
    assert error.message.startswith("VM = v1; domid = 7; Bootloader.Bad_error ")
    assert sentence in error.message


def test_a_bootloader_s_reason_is_the_error_s(place: Place) -> None:
    error = refused(place, 'raise RuntimeError("Unable to find partition containing kernel")')
    assert error == BootloaderError(bootloader="v1", message="Unable to find partition containing kernel")


def test_a_bootloader_that_is_not_there_or_not_known_is_named(place: Place) -> None:
    gone = Bootloaders(LinuxDom0(), Dom0Content(LinuxDom0()), pygrubs=("/nonesuch/pygrub",))

    def refusal_of(bootloaders: Bootloaders, asked: Asked) -> object:
        return refusal(lambda: bootloaders.fetched(asked, SuiteExecution()).__enter__())

    error = refusal_of(gone, place.asked())
    assert isinstance(error, InternalError)
    assert "does not have pygrub (/nonesuch/pygrub): `apt-get install xen-utils`" in error.message
    error = refusal_of(gone, place.asked(bootloader="lilo"))
    assert isinstance(error, InternalError)
    assert error.message == "VM = v1; domid = 7; Bootloader.Unknown_bootloader lilo"
    error = refusal_of(gone, place.asked(bootloader="eliloader"))
    assert isinstance(error, Unimplemented)


def test_without_a_disk_of_this_host_nothing_is_booted(place: Place) -> None:
    assert refused(place, FETCH, devices=()) == NoBootableDevice()
    assert isinstance(refused(place, FETCH, devices=(Vdi(name="sr/vdi"),)), Unimplemented)
    error = refused(place, FETCH, devices=(LocalDisk(path="/nonesuch"),))
    assert isinstance(error, InternalError)
    assert "/nonesuch" in error.message


def processes_with(word: str) -> list[str]:
    """All that have it on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_bytes().decode(errors="replace").split("\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def until_there_are(number: int, word: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(processes_with(word)) != number:
        assert time.monotonic() < end
        time.sleep(0.01)


HANG = "import signal\nwhile True: signal.pause()"


def test_one_that_hangs_is_ended_by_a_cancel(place: Place) -> None:
    """The cage and what is in it."""
    execution, word = SuiteExecution(), f"--entry={place.directory}"
    errors: list[object] = []

    def fetch() -> None:
        asked = place.asked(bootloader_args=word)
        errors.append(refusal(lambda: place.bootloaders(HANG).fetched(asked, execution).__enter__()))

    thread = threading.Thread(target=fetch)
    thread.start()
    until_there_are(2, word)
    execution.cancel()
    thread.join()
    assert isinstance(errors[0], Cancelled)
    until_there_are(0, word)


def test_one_whose_cage_is_gone_before_it_begins_does_not_begin() -> None:
    """A cancel may come between its fork and its wish to die with the cage: it was left then, for ever."""
    alive, ours = os.pipe()
    os.close(ours)
    program = os.fork()
    if not program:
        cage._become(bootloader.NOBODY, alive, os.dup(alive))
        os._exit(0)
    os.close(alive)
    assert os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) == cage.FAILED


def test_one_that_hangs_is_not_waited_for_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootloader, "TIMEOUT_S", 0.5)
    error = refused(place, HANG, bootloader_args=f"--entry={place.directory}")
    assert error == BootloaderError(bootloader="v1", message="pygrub has not ended within 0.5 s")
    until_there_are(0, f"--entry={place.directory}")
