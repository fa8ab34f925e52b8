"""Docker engine: one for tests: the one that answers, or Debian's, unpacked and private, for a while.

    python tools/docker_engine.py COMMAND…

runs a command with an engine at hand. A private one wants root and Debian. Its programs lie under
var/engine, as do its images, so that they are there the next time; nothing is installed, no service of the
machine starts, and the engine ends with the command, with all that it has mounted.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from debian_base import mirror
from guest import GuestError, lists_of_our_own, run

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "var" / "engine"

PACKAGES = (
    *("docker.io", "containerd", "runc", "iptables"),
    *("libdevmapper1.02.1", "libseccomp2", "libip4tc2", "libip6tc2", "libxtables12", "libnftnl11", "libmnl0"),
    *("libnetfilter-conntrack3", "libnfnetlink0"),
)
"""What is unpacked of Debian: the engine, and what it runs and is linked to that not every machine has."""

COMPOSE, COMPOSE_SUITE = "docker-compose", "trixie"
"""The plugin `compose`, of the first Debian whose one reads our file; it needs nothing but libc."""

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

OPTIONS = ("--bridge=none", "--iptables=false", "--ip-forward=false")
"""The machine's network stays as it is: images are built on it, compose makes one for each project, and what
is published is passed on by a process of Docker's."""

VOLUMES = ["volume", "prune", "--force"]

START_S = 60.0
END_S = 60.0
POLL_S = 0.05


class EngineError(Exception):
    """There is no engine and can be none; the sentence says why and what to do."""


def main(command: list[str]) -> int:
    """Run a command with an engine at hand; answers its exit code."""
    try:
        with at_hand() as environment:
            return subprocess.run(command, env=environment, check=False).returncode
    except EngineError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1


@contextmanager
def at_hand() -> Iterator[Mapping[str, str]]:
    """The environment in which `docker` reaches an engine, while inside.

    Raises:
        EngineError: none answers, and a private one cannot be.
    """
    said = what_docker_says(os.environ)
    if not said:
        yield os.environ
        return
    refuse_private(said)
    try:
        programs = fetch(PLACE)
    except GuestError as error:
        raise EngineError(str(error)) from error
    with private(programs, PLACE / "data") as environment:
        yield environment


def what_docker_says(environment: Mapping[str, str]) -> str:
    """Why no engine is reached; "" if one is."""
    docker = shutil.which("docker", path=environment.get("PATH"))
    if docker is None:
        return "there is no docker on PATH"
    command = [docker, "version", "--format", "{{.Server.Version}}"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return ""
    words = answer.stderr.strip().splitlines()
    return f"no Docker engine answers ({words[-1] if words else 'no word'})"


def refuse_private(said: str) -> None:
    """Say in words what keeps us from an engine of our own; `said` is why there is no other one."""
    told = f"{said}; start Docker (Debian: docker.io), or name the engine to use in DOCKER_HOST"
    if os.environ.get("DOCKER_HOST"):
        raise EngineError(f"{said}: DOCKER_HOST names an engine; start it, or unset that")
    if os.geteuid() != 0:
        raise EngineError(f"{told}; only root can start a private one")
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise EngineError(f"{told}; a private one is made of Debian's packages, and this is no Debian")


def fetch(place: Path) -> Path:
    """Have the programs; answers the directory in which Debian's packages are unpacked.

    Raises:
        GuestError: they cannot be had.
    """
    named = " ".join((*PACKAGES, COMPOSE, COMPOSE_SUITE))
    wanted = hashlib.sha256(named.encode()).hexdigest()[:12]
    target = place / wanted
    if not target.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unpacking-", dir=place) as scratch:
            unpack(Path(scratch)).rename(target)
    return target


def unpack(scratch: Path) -> Path:
    """Download and unpack them all; answers the root of what they hold."""
    root = scratch / "root"
    root.mkdir()
    with ThreadPoolExecutor() as both:
        parts = [both.submit(part, scratch) for part in (download_engine, download_compose)]
        for package in (package for part in parts for package in part.result()):
            run(["dpkg-deb", "--extract", str(package), str(root)])
    (root / "usr/sbin/iptables").unlink(missing_ok=True)  # leads to where Debian keeps alternatives
    (root / "usr/sbin/iptables").symlink_to("xtables-nft-multi")
    return root


def download_engine(scratch: Path) -> Iterable[Path]:
    """The engine's packages, of this machine's own Debian."""
    place = scratch / "engine"
    place.mkdir()
    own_lists = list(lists_of_our_own(scratch))
    if not download(place, own_lists[:2], PACKAGES):  # the machine's lists are missing, or old
        run(["apt-get", *own_lists, "update", "-qq"])
        if not download(place, own_lists, PACKAGES):
            raise GuestError("apt-get cannot download Debian's docker.io; its words are above")
    return place.glob("*.deb")


def download_compose(scratch: Path) -> Iterable[Path]:
    """The plugin's package, of its Debian, from the mirror that this machine uses."""
    place = scratch / "compose"
    place.mkdir()
    sources = place / "compose.sources"
    sources.write_text(
        f"Types: deb\nURIs: {mirror()}\nSuites: {COMPOSE_SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    told = {"SourceList": str(sources), "SourceParts": "/dev/null"}
    only = [word for name, value in told.items() for word in ("-o", f"Dir::Etc::{name}={value}")]
    options = [*lists_of_our_own(place), *only, "-o", "Acquire::Languages=none"]
    run(["apt-get", *options, "update", "-qq"])
    if not download(place, options, (COMPOSE,)):
        raise GuestError(f"apt-get cannot download {COMPOSE} of {COMPOSE_SUITE}; its words are above")
    return place.glob("*.deb")


def download(place: Path, options: Iterable[str], packages: Iterable[str]) -> bool:
    """Fetch packages into a directory; answers whether apt could."""
    command = ["apt-get", *options, "-qq", "download", *packages]
    return subprocess.run(command, cwd=place, check=False).returncode == 0


@contextmanager
def private(programs: Path, data: Path) -> Iterator[Mapping[str, str]]:
    """Run an engine of these programs, whose images are kept in `data`; the environment that leads to it.

    Raises:
        EngineError: it does not come up.
    """
    with tidied_up_at_sigterm(), tempfile.TemporaryDirectory(prefix="xenops-docker-") as name:
        place = Path(name)
        environment = {
            **os.environ,
            "PATH": f"{programs}/usr/bin:{programs}/usr/sbin:{os.environ['PATH']}",
            "DOCKER_HOST": f"unix://{place}/socket",
            "DOCKER_CONFIG": f"{programs}/usr/libexec/docker",  # where its plugins are
        }
        with (place / "log").open("wb") as log:
            daemon = subprocess.Popen(
                command_of(place, data),
                env={**environment, **unpacked(programs)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl and C is for the command; the engine ends after it
            )
        try:
            await_answer(daemon, environment, place / "log")
            clear(environment)
            yield environment
        finally:
            clear(environment)
            end(daemon, place)


@contextmanager
def tidied_up_at_sigterm() -> Iterator[None]:
    """Have SIGTERM end this process by way of its `finally`; afterwards it does again what it did before."""
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(*_: object) -> NoReturn:
    """End with the engine, by the first SIGTERM alone: a second one is not to stop the tidying up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def command_of(place: Path, data: Path) -> list[str]:
    """How the engine is started."""
    where = {"data-root": data, "exec-root": place / "exec", "pidfile": place / "pid"}
    roots = (f"--{option}={path}" for option, path in where.items())
    return ["dockerd", *roots, f"--host=unix://{place}/socket", *OPTIONS]


def unpacked(programs: Path) -> dict[str, str]:
    """Where the engine's programs find what they were installed with elsewhere.

    Without its extensions iptables passes no container's question for a name on to the engine.
    """
    places = [path for usr in ("usr/lib", "lib") for path in (programs / usr).glob("*-linux-gnu*")]
    extensions = [place / "xtables" for place in places if (place / "xtables").is_dir()]
    return {
        "LD_LIBRARY_PATH": ":".join(map(str, places)),
        "XTABLES_LIBDIR": ":".join(map(str, extensions)),
    }


def await_answer(daemon: "subprocess.Popen[bytes]", environment: Mapping[str, str], log: Path) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + START_S
    while what_docker_says(environment):
        if daemon.poll() is not None or time.monotonic() > deadline:
            words = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise EngineError(f"a private Docker engine does not come up here; its last words:\n{words}")
        time.sleep(POLL_S)


def clear(environment: Mapping[str, str]) -> None:
    """Leave nothing but images: what an earlier engine was killed with would start with this one."""
    docker = ["docker", *("ps", "--all", "--quiet")]
    left = subprocess.run(docker, env=environment, capture_output=True, text=True, check=False).stdout.split()
    for command in (["rm", "--force", "--volumes", *left], ["network", "prune", "--force"], VOLUMES):
        subprocess.run(["docker", *command], env=environment, capture_output=True, check=False)


def end(daemon: "subprocess.Popen[bytes]", place: Path) -> None:
    """End it, its containers and what it has mounted."""
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(END_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if (mounted := line.split()[1]).startswith(f"{place}/"):
            subprocess.run(["umount", "--lazy", mounted], check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
