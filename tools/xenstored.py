"""Both xenstoreds of Debian's Xen, C and OCaml, unpacked without root, and a shim that makes Xen needless.

`var/xenstored/current` leads to the directory of one build: `xenstored`, `oxenstored`, `lib/` with the
libraries of Xen that they need, and `shim.so` (see `tools/xenstored-shim.c`). Nothing is installed: no
service of the machine starts, and its boot loader hears of no hypervisor.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from guest import GuestError, link, lists_of_our_own, run

SHIM = Path(__file__).with_name("xenstored-shim.c")
FILES = ("xenstored", "oxenstored", "shim.so")


def build(directory: Path) -> str:
    """Have the daemons in the directory; answers what was done. Needs the network unless they are there."""
    directory = directory.resolve()
    wanted = fingerprint()
    target = directory / wanted
    done = "as built before"
    if not all((target / name).is_file() for name in FILES):
        refuse_where_it_cannot_work()
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=directory) as scratch:
            built = build_in(Path(scratch))
            shutil.rmtree(target, ignore_errors=True)
            built.rename(target)
        done = "built"
    link(directory / "current", wanted)
    return f"{target.name}, {done}"


def fingerprint() -> str:
    """Changes when they must be built anew."""
    return hashlib.sha256(SHIM.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]


def refuse_where_it_cannot_work() -> None:
    """Say in words what of the machine does not suit the build."""
    for program, package in (("dpkg-deb", "dpkg"), ("apt-cache", "apt"), ("gcc", "gcc")):
        if shutil.which(program) is None:
            raise GuestError(f"xenstored is unpacked from Debian's packages, and needs {program}: {package}")


def build_in(scratch: Path) -> Path:
    """Download, unpack and compile; answers the directory that holds it all."""
    packages = scratch / "packages"
    packages.mkdir()
    own_lists = list(lists_of_our_own(scratch))
    as_anybody = own_lists[:2]
    if not download(packages, as_anybody):  # nobody has updated the machine's own lists, or not lately
        run(["apt-get", *own_lists, "update", "-qq"])
        if not download(packages, own_lists):
            raise GuestError(
                "apt-get cannot download Debian's xen-utils and its libraries; its words are above; "
                "see that Debian's main archive is in apt's sources and reachable"
            )
    return lay_out(scratch, packages)


def download(place: Path, options: list[str]) -> bool:
    """Fetch the packages into a directory; answers whether apt could."""
    names = packages_with(options)
    command = ["apt-get", *options, "-qq", "download", *names]
    return bool(names) and subprocess.run(command, cwd=place, check=False).returncode == 0


def packages_with(options: list[str]) -> list[str]:
    """The newest package of Xen's daemons, and those of Xen's libraries that it needs."""
    names = output(["apt-cache", *options, "pkgnames", "xen-utils-"]).split()
    versions = [name for name in names if re.fullmatch(r"xen-utils-[0-9.]+", name)]
    if not versions:
        return []
    daemons = max(
        versions, key=lambda name: [int(part) for part in name.removeprefix("xen-utils-").split(".")]
    )
    needed = [daemons]
    for name in needed:
        depends = output(["apt-cache", *options, "depends", "--important", name])
        found = re.findall(r"Depends: (libxen[\w.+-]+)", depends)
        needed += [package for package in dict.fromkeys(found) if package not in needed]
    return needed


def lay_out(scratch: Path, packages: Path) -> Path:
    """Bring the files of the packages to where they are looked for, and compile the shim."""
    root, built = scratch / "root", scratch / "built"
    (built / "lib").mkdir(parents=True)
    for package in sorted(packages.glob("*.deb")):
        run(["dpkg-deb", "--extract", str(package), str(root)])
    for name in ("xenstored", "oxenstored"):
        shutil.copy(one_of(root, f"usr/lib/xen-*/bin/{name}"), built / name)
    for library in root.glob("usr/lib/*/libxen*.so.*"):
        shutil.copy(library, built / "lib" / library.name)
    run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", str(built / "shim.so"), str(SHIM), "-ldl"])
    return built


def one_of(root: Path, pattern: str) -> Path:
    """The file that the packages must have."""
    found = next(root.glob(pattern), None)
    if found is None:
        raise GuestError(f"Debian's packages of Xen have no {pattern}: adapt tools/xenstored.py")
    return found


def output(command: list[str]) -> str:
    """What a command prints; nothing when it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
