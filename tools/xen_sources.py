"""The project of now as a disk, which dom0 of the Xen test host mounts where its Python looks for it.

Nothing is copied into a machine that runs: what comes by ssh is decrypted, unpacked and compiled by an
emulated processor, which takes longer than most tests.
"""

import os
import py_compile
import shutil
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

PACKED = ("shared", "services/worker-xen", "clients", "tests/xen", "pyproject.toml")
"""What of the project dom0 has, but for unit tests; and the tiny guest."""

GUEST = ("vmlinuz", "initrd.gz")

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
        for name in GUEST:
            link(ROOT / "var" / "guest" / name, tree / "var" / "guest" / name)
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
