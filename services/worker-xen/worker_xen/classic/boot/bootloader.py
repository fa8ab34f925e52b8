"""Bootloader: a guest's kernel, fetched from a disk of its own by a program in a cage, there for a moment.

Nothing is left of it, whoever dies and when: the program's files are in the cage's memory, the kernel and the
ramdisk in the worker's.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Execution
from engine.hosted.storage.content import Content, path_of
from schema.fault import XenopsError, internal_error, unimplemented
from schema.objects.disk import Disk
from schema.objects.errors import BootloaderError, NoBootableDevice
from schema.objects.vm import PvIndirectBoot

from worker_xen.classic.boot import cage, output
from worker_xen.classic.dom0 import Dom0
from worker_xen.classic.users import Users, user_of
from worker_xen.libxc.values import Kernel

PYGRUBS = ("/usr/lib/xen*/bin/pygrub", "/usr/libexec/xen*/bin/pygrub", "/usr/bin/pygrub")

TIMEOUT_S = 300.0
"""How long a bootloader may take: some seconds on a real host."""

NOBODY = 65534

LOOKED_AT = "bootloader"
"""What a domain has its disk as meanwhile, for storage; no VBD's name is like it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants to boot by a bootloader, and how."""

    vm: str
    domid: int
    boot: PvIndirectBoot


@dataclass(frozen=True, slots=True)
class Booted:
    """What a guest boots; `descriptors` are the open files that it is in, if a bootloader has fetched it."""

    kernel: Kernel
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bootloaders:
    """Runs them; `pygrubs` are the places where one may be, as patterns."""

    dom0: Dom0
    content: Content
    users: Users | None = None
    pygrubs: tuple[str, ...] = PYGRUBS

    @contextmanager
    def fetched(self, asked: Asked, execution: Execution) -> Iterator[Booted]:
        """The kernel on the first of a guest's disks to boot from; it can be read while inside.

        Errors, as the original has them: `No_bootable_device`; `Bootloader_error` with the bootloader's
        reason; `Internal_error` if there is no such one, or it says what makes no sense; storage's.
        `Cancelled`, at once.
        """
        program = self._program(asked)
        with (
            self.content.lent(first_disk(asked.boot), str(asked.domid), LOOKED_AT, read_only=True) as found,
            self.dom0.opened(path_of(found), read_only=True) as disk,
            _memory() as kernel,
            _memory() as ramdisk,
        ):
            user = NOBODY if self.users is None else user_of(self.users, asked.domid)
            caged = [f"{disk.major}:{disk.minor}", str(user), str(kernel), str(ramdisk), program]
            caged += output.command(asked.boot.bootloader_args)
            line = _run(asked, caged, (kernel, ramdisk), execution)
            fetched = Kernel(
                path=f"/proc/self/fd/{kernel}",
                ramdisk=f"/proc/self/fd/{ramdisk}" if os.fstat(ramdisk).st_size else None,
                command_line=output.whole_line(line, asked.boot.legacy_args, asked.boot.extra_args),
            )
            yield Booted(fetched, (kernel, ramdisk))

    def _program(self, asked: Asked) -> str:
        if asked.boot.bootloader == ELILOADER:
            raise unimplemented("VM.start through the bootloader eliloader on classic")
        if asked.boot.bootloader != output.PYGRUB:
            raise _nonsense(asked, f"Unknown_bootloader {asked.boot.bootloader}")
        found = (path for pattern in self.pygrubs for path in sorted(Path("/").glob(pattern[1:])))
        program = next((path for path in found if path.is_file()), None)
        if program is None:
            where = ", ".join(self.pygrubs)
            raise internal_error(f"This host does not have pygrub ({where}): `apt-get install xen-utils`")
        return str(program)


ELILOADER = "eliloader"
"""XenServer's own, for installers; nobody else has it."""


def first_disk(boot: PvIndirectBoot) -> Disk:
    """The disk that a bootloader looks at. Errors: `No_bootable_device`."""
    first: Disk | None = next(iter(boot.devices), None)
    if first is None:
        raise XenopsError(NoBootableDevice())
    return first


def _run(asked: Asked, words: list[str], descriptors: tuple[int, ...], execution: Execution) -> str:
    """Answers the command line that was found."""
    process = subprocess.Popen(
        [sys.executable, "-m", cage.__name__, *words],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        with execution.cancellable(process.kill):
            said, complaint = process.communicate(timeout=TIMEOUT_S)
        execution.check_cancelled()
    except subprocess.TimeoutExpired as error:
        raise _failed(asked, f"{asked.boot.bootloader} has not ended within {TIMEOUT_S:g} s") from error
    finally:
        process.kill()
        process.communicate()
    if process.returncode == cage.FAILED:
        words_of_it = complaint.decode(errors="replace")
        reason = output.reason_of(words_of_it)
        raise _failed(asked, reason) if reason else _nonsense(asked, f"Bad_error {words_of_it}")
    if process.returncode:
        raise _nonsense(asked, f"Bad_error {complaint.decode(errors='replace')}")
    return said.decode()


def _failed(asked: Asked, reason: str) -> XenopsError:
    """The original names the VM first, not the bootloader, and xapi reads it so."""
    return XenopsError(BootloaderError(bootloader=asked.vm, message=reason))


def _nonsense(asked: Asked, what: str) -> XenopsError:
    return internal_error(f"VM = {asked.vm}; domid = {asked.domid}; Bootloader.{what}")


@contextmanager
def _memory() -> Iterator[int]:
    """A file that nobody else sees."""
    descriptor = os.memfd_create("boot", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
