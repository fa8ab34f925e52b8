"""Deb: all services, the command and the libraries they were tested with, as a Debian package for hosts.

`var/deb/xenops_VERSION_ARCHITECTURE.deb`. The libraries lie in /usr/lib/xenops, for Debian's own Python of
the version that builds. The same sources make the same package, byte for byte.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from pathlib import Path

import manual
from setup import OWN_PACKAGES
from wheels import PIP, ROOT, WheelsError, build_wheels

SOURCES = ROOT / "packaging"
OUTPUT = ROOT / "var" / "deb"
LIBRARIES = "usr/lib/xenops"
DOCUMENTS = "usr/share/doc/xenops"

PACKAGES = tuple(package for package in OWN_PACKAGES if package not in {"simulation", "testing"})
"""The distributions that hosts have: all but those for tests alone."""

PROGRAMS: Mapping[str, str] = {
    "usr/bin/xenops": "from xenops.command.main import entry\nentry()",
    "usr/sbin/xenops-stack": 'import runpy\nrunpy.run_module("stack", run_name="__main__", alter_sys=True)',
    **{
        f"usr/libexec/xenops/{module.replace('_', '-')}": (
            f'import runpy\nrunpy.run_module("{module}", run_name="__main__", alter_sys=True)'
        )
        for module in (
            *("frontend", "redirector", "eventhub", "dashboard"),
            *("worker_sim", "worker_kvm", "worker_xen"),
        )
    },
}
"""What is run, and how it begins once the libraries are found."""

PROGRAM = """\
#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "/usr/lib/xenops")
{begin}
"""

COMPLETIONS: Mapping[str, str] = {
    "bash": "usr/share/bash-completion/completions/xenops",
    "zsh": "usr/share/zsh/vendor-completions/_xenops",
    "fish": "usr/share/fish/vendor_completions.d/xenops.fish",
}
"""Where each shell looks for what completes the command `xenops`."""

MANUALS = ("hosts", "doors", "operators", "security", "cluster", "log", "xen", "kvm")
EXAMPLES = ("operators/alerts.yml", "operators/grafana.json")

DESCRIPTION = """\
virtual machine manager of xapi, as services on a message bus
 The interface of xenopsd, on RabbitMQ: nothing that is asked for dies with a
 process. Doors for toolstacks, queues, events, an operators' page, workers for
 QEMU, libvirt and Xen, and the command xenops.
 .
 Nothing is started until the host has credentials for a broker; see
 /usr/share/doc/xenops/hosts.md. All documents, the reference too, are pages in
 /usr/share/doc/xenops/html."""


class DebError(Exception):
    """The package cannot be built; the sentence says why and what to do."""


def main() -> int:
    """Build it; answers the exit code."""
    try:
        print(f"deb: {build(OUTPUT)}")
    except (DebError, WheelsError) as error:
        print(f"deb: {error}", file=sys.stderr)
        return 1
    return 0


def build(output: Path) -> Path:
    """The package, in the directory `output`."""
    version, architecture = version_of(ROOT, PACKAGES), said(["dpkg", "--print-architecture"])
    epoch, maintainer = said(["git", "-C", str(ROOT), "log", "-1", "--format=%ct%n%an <%ae>"]).splitlines()
    tree = output / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    install_libraries(tree / LIBRARIES, build_wheels(output / "wheels", PACKAGES))
    for path, begin in PROGRAMS.items():
        put(tree / path, PROGRAM.format(begin=begin), mode=0o755)
    install_configuration(tree)
    install_documents(tree / DOCUMENTS, version, f"{maintainer}  {formatdate(float(epoch))}")
    environment = os.environ | {"SOURCE_DATE_EPOCH": epoch}
    install_help(tree, environment)
    install_site(tree / DOCUMENTS / "html", environment)
    fields = {"Version": version, "Architecture": architecture, "Maintainer": maintainer}
    write_control(tree, control_text(fields, installed_kib(tree)))
    package = output / f"xenops_{version}_{architecture}.deb"
    run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(package)], environment)
    return package


def version_of(root: Path, packages: Iterable[str]) -> str:
    """The one version that all distributions have."""
    found = {
        str(tomllib.loads((root / package / "pyproject.toml").read_text())["project"]["version"])
        for package in packages
    }
    if len(found) != 1:
        raise DebError(f"the distributions have several versions, {', '.join(sorted(found))}: give all one")
    return found.pop()


def install_libraries(place: Path, wheels: Iterable[Path]) -> None:
    """All wheels in one directory, stripped; Python's compiled files are made on the host."""
    pip = [str(PIP), "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(place)]
    run([*pip, *map(str, wheels)])
    shutil.rmtree(place / "bin", ignore_errors=True)
    for told in place.glob("*.dist-info/direct_url.json"):
        told.unlink()  # where the wheel lay on the machine that builds
    for path in place.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    run(["strip", "--strip-unneeded", *map(str, sorted(place.rglob("*.so*")))])


def install_configuration(tree: Path) -> None:
    """Units, users, directories, and the files of settings."""
    for unit in sorted((SOURCES / "systemd").glob("*.service")):
        put(tree / "lib/systemd/system" / unit.name, unit.read_text())
    for kind in ("sysusers", "tmpfiles"):
        put(tree / f"usr/lib/{kind}.d/xenops.conf", (SOURCES / f"{kind}.conf").read_text())
    for settings in sorted((SOURCES / "etc").glob("*.conf")):
        put(tree / "etc/xenops" / settings.name, settings.read_text())


def install_documents(place: Path, version: str, signed: str) -> None:
    """What the host's administrator reads."""
    put(place / "copyright", (SOURCES / "debian" / "copyright").read_text())
    for name in MANUALS:
        put(place / f"{name}.md", (ROOT / "docs" / f"{name}.md").read_text())
    for name in EXAMPLES:
        put(place / "examples" / Path(name).name, (ROOT / "docs" / name).read_text())
    news = f"xenops ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the sources.\n\n"
    put_packed(place / "changelog.gz", f"{news} -- {signed}\n")
    overrides = (SOURCES / "debian" / "lintian-overrides").read_text()
    put(place.parents[1] / "lintian" / "overrides" / "xenops", overrides)


def install_help(tree: Path, environment: Mapping[str, str]) -> None:
    """Man pages, and what shells complete the command by."""
    for page in manual.build(tree.parent / "man", environment):
        place = tree / f"usr/share/man/man{page.suffix[1:]}" / f"{page.name}.gz"
        put_packed(place, page.read_text())
    for shell, path in COMPLETIONS.items():
        xenops = str(Path(sys.executable).with_name("xenops"))
        put(tree / path, said([xenops, "completion", shell]) + "\n")


def install_site(place: Path, environment: Mapping[str, str]) -> None:
    """All documents as pages, which a browser opens as they are."""
    build_site = [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", str(place)]
    run(build_site, {**environment, "NO_MKDOCS_2_WARNING": "1"})
    for path in place.rglob("*.map"):
        path.unlink()  # for who debugs the theme


def control_text(given: Mapping[str, str], size_kib: int) -> str:
    """The package's control file; `given` are the fields that are known elsewhere."""
    major, minor = sys.version_info[:2]
    python = f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1})"
    fields = {
        "Package": "xenops",
        **given,
        "Installed-Size": str(size_kib),
        "Depends": f"{python}, libc6 (>= 2.34), systemd (>= 250)",
        "Recommends": "libvirt0",
        "Suggests": "rabbitmq-server, qemu-system-x86, qemu-utils, libxen-dev, gcc, python3-dev",
        "Section": "admin",
        "Priority": "optional",
        "Description": DESCRIPTION,
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def write_control(tree: Path, control: str) -> None:
    """What dpkg reads: its control file, scripts, sums, and which files are the host's to change."""
    place = tree / "DEBIAN"
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files)  # noqa: S324  dpkg's sums are MD5
    put(place / "md5sums", "".join(sums))
    settings = (f"/{path.relative_to(tree)}\n" for path in files if path.is_relative_to(tree / "etc"))
    put(place / "conffiles", "".join(settings))
    put(place / "control", control)
    for script in ("postinst", "prerm", "postrm"):
        put(place / script, (SOURCES / "debian" / script).read_text(), mode=0o755)
    for directory in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
        directory.chmod(0o755)


def installed_kib(tree: Path) -> int:
    """What it takes on a disk, each file in whole KiB."""
    return sum(-(-path.stat().st_size // 1024) for path in tree.rglob("*") if path.is_file())


def put(path: Path, text: str, *, mode: int = 0o644) -> None:
    """A file of the package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def put_packed(path: Path, text: str) -> None:
    """The same, packed by gzip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    path.chmod(0o644)


def said(command: list[str]) -> str:
    """What a command answers."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise DebError(
            f"`{' '.join(command[:2])}` failed: packages are built on Debian, in a clone"
        ) from error


def run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a step, at the root of the sources; its failure is ours."""
    if subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
        raise DebError(f"`{' '.join(command[:3])} …` failed; its words are above")


if __name__ == "__main__":
    sys.exit(main())
