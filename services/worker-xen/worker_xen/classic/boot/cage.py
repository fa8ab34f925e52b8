"""Cage: runs a bootloader where it sees a guest's disk and /usr, writes to memory, and may do nothing else.

    python -m worker_xen.classic.boot.cage MAJOR:MINOR USER KERNEL_FD RAMDISK_FD PROGRAM ARGUMENTS

The program runs as that user without any right, in namespaces of its own, below a small file system in memory
that goes with it. What it has fetched is copied into the two open files, and the command line that it has
found is printed. It ends with 1 and the program's words on the standard error if the program fails, with 2
and a sentence if what it has found makes no sense.
"""

import ctypes
import os
import resource
import select
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from worker_xen.classic.boot import output
from worker_xen.classic.boot.output import BadOutputError, Output

FAILED, BAD = 1, 2
"""Codes of its exit."""

ROOM_BYTES = 256 << 20
"""For a kernel and a ramdisk together."""

FILE_BYTES_MAX = 128 << 20
"""For each file, and for what it says: as pygrub's own limit."""

MEMORY_BYTES_MAX = 1 << 30
"""For the program, with all that it has open."""

ROOT = Path("/mnt")
"""In a namespace of our own, where any directory does that each host has."""

TREES = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
NULL, RANDOM = (0o666, os.makedev(1, 3)), (0o444, os.makedev(1, 9))
DISK_MODE = 0o440

_SHOWN = 4096
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_NEW_MOUNTS, _NEW_IPC, _NEW_PIDS, _NEW_NET = 0x00020000, 0x08000000, 0x20000000, 0x40000000
_READ_ONLY, _NO_SUID, _NO_DEV, _NO_EXEC, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = (
    *(1, 2, 4, 8, 32),
    *(1 << 12, 1 << 14, 1 << 18),
)


@dataclass(frozen=True, slots=True)
class Task:
    """Whose disk, as whom, and what."""

    disk: int
    """Its number, as `os.makedev` has it."""
    user: int
    words: tuple[str, ...]


def main(words: list[str]) -> int:
    """Do it; answers the exit code."""
    disk, user, kernel, ramdisk, *program = words
    major, minor = (int(number) for number in disk.split(":"))
    for descriptor in (int(kernel), int(ramdisk)):
        os.set_inheritable(descriptor, False)  # noqa: FBT003  the library's
    try:
        return _run(Task(os.makedev(major, minor), int(user), tuple(program)), int(kernel), int(ramdisk))
    except BadOutputError as error:
        sys.stderr.write(str(error))
        return BAD
    except OSError as error:
        sys.stderr.write(f"the bootloader's cage: {error}")
        return FAILED


def _run(task: Task, kernel: int, ramdisk: int) -> int:
    _leave()
    _furnish(task)
    said, complaint = os.memfd_create("said"), os.memfd_create("complaint")
    status = _call(task, said, complaint)
    if status:
        sys.stderr.write(_last(complaint) or f"it ended with {status}, without a word")
        return FAILED
    found = output.parsed(os.pread(said, output.TEXT_BYTES_MAX + 1, 0))
    _fetch(found, kernel, ramdisk)
    sys.stdout.buffer.write(found.arguments.encode())
    return 0


def _call(task: Task, said: int, complaint: int) -> int:
    alive, ours = os.pipe()
    process = subprocess.Popen(
        task.words,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=complaint,
        start_new_session=True,
        preexec_fn=lambda: _become(task.user, alive, ours),  # noqa: PLW1509  this process has one thread
    )
    return process.wait()


def _leave() -> None:
    """The host's mounts, processes, networks; and die with whoever has started us."""
    _do("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
    _do("unshare", _NEW_MOUNTS | _NEW_IPC | _NEW_PIDS | _NEW_NET)
    _mount("none", Path("/"), _RECURSIVE | _PRIVATE)


def _furnish(task: Task) -> None:
    """All that the program will see; one that is not below /usr brings its own directory."""
    _mount("tmpfs", ROOT, _NO_SUID | _NO_EXEC, f"size={ROOM_BYTES},nr_inodes=256,mode=755")
    for name in TREES:
        source, target = Path("/") / name, ROOT / name
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            _show(source, target)
    own = Path(task.words[0]).parent
    if own.parts[1] not in TREES:
        _show(own, ROOT.joinpath(*own.parts[1:]))
    (ROOT / "dev").mkdir()
    for name, (mode, number) in (("null", NULL), ("urandom", RANDOM)):
        _make_node(ROOT / "dev" / name, stat.S_IFCHR | mode, number)
    _make_node(ROOT / output.DISK[1:], stat.S_IFBLK | DISK_MODE, task.disk)
    os.chown(ROOT / output.DISK[1:], 0, task.user)
    out = ROOT / output.OUT[1:]
    out.mkdir(mode=0o700)
    os.chown(out, task.user, task.user)


def _show(source: Path, target: Path) -> None:
    """A directory of the host, to be read."""
    target.mkdir(parents=True)
    _mount(str(source), target, _BIND)
    _mount("none", target, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEV)


def _make_node(path: Path, mode: int, number: int) -> None:
    os.mknod(path, mode, number)
    path.chmod(stat.S_IMODE(mode))


def _become(user: int, alive: int, ours: int) -> None:
    """Between fork and exec: without any right, and below the root that was made.

    Who had already gone when we asked to die with it has closed the other end of the pipe `alive`.
    """
    os.close(ours)
    os.chroot(ROOT)
    os.chdir("/")
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _do("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([alive], [], [], 0)[0]:
        os._exit(FAILED)
    _do("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_FSIZE, FILE_BYTES_MAX),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _fetch(found: Output, kernel: int, ramdisk: int) -> None:
    _copy(found.kernel, kernel)
    if found.ramdisk is not None:
        _copy(found.ramdisk, ramdisk)


def _copy(name: str, target: int) -> None:
    """A plain file out of the program's directory. Errors: `BadOutputError`."""
    path = ROOT / output.OUT[1:] / name
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadOutputError(f"There is no file {output.OUT}/{name}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise BadOutputError(f"{output.OUT}/{name} is no plain file")
        while os.sendfile(target, source, None, ROOM_BYTES):
            pass
    finally:
        os.close(source)


def _last(complaint: int) -> str:
    size = os.fstat(complaint).st_size
    words = os.pread(complaint, _SHOWN, max(0, size - _SHOWN)).decode(errors="replace")
    return output.end_of(words)


def _mount(source: str, target: Path, flags: int, data: str = "") -> None:
    """Only a file system in memory is told anything."""
    kind = b"tmpfs" if data else None
    words = (os.fsencode(source), os.fsencode(target), kind, ctypes.c_ulong(flags), data.encode() or None)
    _do("mount", *words)


def _do(name: str, *words: object) -> None:
    """A call of the C library that answers 0. Errors: OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
