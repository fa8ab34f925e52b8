"""The project of now as a disk, which dom0 of the Xen test host mounts where its Python looks for it.

Nothing is copied into a machine that runs: what comes by ssh is decrypted, unpacked and compiled by an
emulated processor, which takes longer than most tests.
"""

import os
import py_compile
import shutil
import struct
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guest import run
from worker_xen.binding import compile_to
from worker_xen.prepare import ALL

ROOT = Path(__file__).resolve().parent.parent
SOURCES = "/opt/xenops/sources"
BINDINGS = "/var/cache/xenops/bindings"

STORAGE_SERVER = "tests/integration/storage_server.py"
PACKED = ("shared", "services/worker-xen", "clients", "tests/xen", STORAGE_SERVER, "pyproject.toml")
"""What of the project dom0 has, but for unit tests; and the tiny guest."""

KERNEL, PACKED_KERNEL, INITRAMFS = "vmlinuz", "vmlinuz-packed", "initrd.gz"
"""A boot loader within a guest wants the kernel as it is in its package."""

UNPACKERS = {b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz"}
"""What unpacks a kernel, by how it begins; each takes `-dc`."""

SECTORS_AT, PAYLOAD_AT, SECTOR_BYTES = 0x1F1, 0x248, 512
"""Where a bzImage says how long its beginning is, and where what is packed stands behind that."""

DISK_BYTES = 128 << 20
"""The same for every such disk: a saved machine has one already. Most of it is empty, and not written."""

PYTHON_OF_DOM0 = (3, 11)

_KEPT = f"{SOURCES}/var/bindings"

MOUNT = f"mkdir -p {SOURCES} {BINDINGS} && mount /dev/vdb {SOURCES} && cp -rn {_KEPT}/. {BINDINGS}"
"""What dom0 does to have it."""


def make_disk(path: Path, image: Path) -> None:
    """Write the disk, for a machine of that image. Errors: `BindingError`, a binding does not compile."""
    make_empty_disk(path)
    with tempfile.TemporaryDirectory(prefix="sources-", dir=path.parent) as scratch:
        tree = Path(scratch)
        for name in packed():
            take(ROOT / name, tree / name)
        link(kernel_for(image), tree / "var" / "guest" / KERNEL)
        link(ROOT / "var" / "guest" / KERNEL, tree / "var" / "guest" / PACKED_KERNEL)
        link(ROOT / "var" / "guest" / INITRAMFS, tree / "var" / "guest" / INITRAMFS)
        for binding in bindings(image):
            link(binding, tree / "var" / "bindings" / binding.name)
        options = ["-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0"]
        run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", str(tree), str(path)])


def make_empty_disk(path: Path) -> None:
    """The disk of a machine that is to be saved."""
    with path.open("wb") as file:
        file.truncate(DISK_BYTES)


def packed() -> list[str]:
    """The files of the project as it is now, committed or not."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKED]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if "/tests/" not in name and (ROOT / name).is_file()]


def kernel_for(image: Path) -> Path:
    """The tiny guest's kernel, unpacked and kept: at each start of a guest an emulated processor would do it.

    Where this machine has no program for that, it stays as it is, and starts take longer.
    """
    kernel = (ROOT / "var" / "guest" / KERNEL).resolve()
    kept = image / f"kernel-of-{kernel.parent.name}"
    if kept.exists():
        return kept
    unpacked = unpacked_kernel(kernel.read_bytes())
    if unpacked is None:
        return kernel
    draft = kept.with_suffix(f".{os.getpid()}")
    draft.write_bytes(unpacked)
    draft.replace(kept)
    return kept


def unpacked_kernel(kernel: bytes) -> bytes | None:
    """The ELF file in a bzImage; None: nothing here unpacks it."""
    payload = payload_of(kernel)
    program = next((UNPACKERS[head] for head in UNPACKERS if payload.startswith(head)), None)
    if program is None or shutil.which(program) is None:
        return None
    done = subprocess.run([program, "-dcq"], input=payload, capture_output=True, check=False)
    return done.stdout if done.stdout.startswith(b"\x7fELF") else None


def payload_of(kernel: bytes) -> bytes:
    """What is packed in a bzImage, without the length behind it: see Linux's x86 boot protocol."""
    sectors = kernel[SECTORS_AT]
    offset, length = struct.unpack_from("<II", kernel, PAYLOAD_AT)
    begin = (sectors + 1) * SECTOR_BYTES + offset
    return kernel[begin : begin + length - 4]


def bindings(image: Path) -> list[Path]:
    """The bindings of now to the image's Xen, compiled where nothing is emulated, and kept beside it."""
    headers = image / "development" / "include"
    made = {binding: binding.path(image.parent / "bindings", headers) for binding in ALL}
    with compiling_against(headers, image / "development" / "lib"):
        for binding, path in made.items():
            if not path.exists():
                compile_to(binding, path)
    return list(made.values())


@contextmanager
def compiling_against(headers: Path, libraries: Path) -> Iterator[None]:
    """While inside, gcc finds Xen there."""
    places = {"C_INCLUDE_PATH": str(headers), "LIBRARY_PATH": str(libraries)}
    before = {name: os.environ.pop(name, None) for name in places}
    os.environ |= places
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def take(source: Path, target: Path) -> None:
    """A file; a module is compiled, too, and a distribution says that it is installed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if source.name == "pyproject.toml" and source.parent != ROOT:
        add_metadata(source, target.parent)
    if source.suffix == ".py" and sys.version_info[:2] == PYTHON_OF_DOM0:
        py_compile.compile(
            str(source),
            cfile=str(target.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"),
            dfile=f"{SOURCES}/{source.relative_to(ROOT)}",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def add_metadata(project: Path, place: Path) -> None:
    """What says of a distribution that it is there, and which version it is: services tell theirs."""
    found = tomllib.loads(project.read_text())["project"]
    information = place / f"{found['name'].replace('-', '_')}-{found['version']}.dist-info"
    information.mkdir()
    content = f"Metadata-Version: 2.1\nName: {found['name']}\nVersion: {found['version']}\n"
    (information / "METADATA").write_text(content)


def link(source: Path, target: Path) -> None:
    """A file that is only read: not copied where it need not be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
