"""Images: docker-compose.yml's, built on a registry's Debian, or on Debian's packages alone.

Needs Docker's engine and its client. Without a registry at hand, the base image is made by debootstrap, as
root, from the mirror that this machine's own apt uses; it is kept, and made anew once it is removed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from wheels import WheelsError, build_wheels

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "var" / "images" / "wheels"

REGISTRY_BASE = "debian:12-slim"
"""What the images stand on where a registry can be reached."""

OWN_BASE = "xenops/debian:12"
"""The same, made here from Debian's packages."""

SUITE = "bookworm"
RUBBISH = ("var/cache/apt", "var/lib/apt/lists", "usr/share/man", "usr/share/info", "usr/share/locale")
"""Folders that an image does without, as images/lean says for what is installed later."""

IMAGES = {
    "broker": "rabbitmq",
    "service": "service",
    "worker-kvm": "worker-kvm",
    "prometheus": "prometheus",
}
"""Each target of images/Dockerfile, and the name of its image."""

PACKAGES = (
    *("shared/schema", "shared/bus", "shared/traces", "shared/engine", "shared/virt"),
    *("services/frontend", "services/redirector", "services/eventhub", "services/dashboard"),
    *("services/worker-sim", "services/worker-kvm", "clients", "stack"),
)
"""The distributions that are installed; the worker on Xen belongs on its host, with that host's libraries."""


class ImagesError(Exception):
    """The images cannot be built; the sentence says why and what to do."""


def main() -> int:
    """Build what docker-compose.yml names; answers the exit code."""
    version = os.environ.get("XENOPS_VERSION", "dev")
    try:
        refuse_without_docker()
        base = find_base()
        print(f"images: base {base}")
        print(f"images: {len(build_wheels(WHEELS, PACKAGES))} wheels")
        for target, name in IMAGES.items():
            build(base, target, f"xenops/{name}:{version}")
    except (ImagesError, WheelsError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def refuse_without_docker() -> None:
    """Say in words that there is no engine."""
    if shutil.which("docker") is None:
        raise ImagesError("there is no docker on PATH: install Docker (Debian: docker.io)")
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ImagesError(
            "no Docker engine answers: start it, or name the one to use in DOCKER_HOST; "
            f"it said: {answer.stderr.strip().splitlines()[-1]}"
        )


def find_base() -> str:
    """The base image: one that is there, or a registry's, or one of our own making."""
    for name in (OWN_BASE, REGISTRY_BASE):
        if succeeds(["docker", "image", "inspect", name]):
            return name
    if succeeds(["docker", "pull", "--quiet", REGISTRY_BASE]):
        return REGISTRY_BASE
    print(f"images: no registry gives {REGISTRY_BASE}: {OWN_BASE} is made of Debian's packages")
    make_base()
    return OWN_BASE


def make_base() -> None:
    """A minimal Debian as an image."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise ImagesError(
            "a base image is made by debootstrap, as root: apt-get install debootstrap, then sudo"
        )
    with tempfile.TemporaryDirectory(prefix="xenops-debian-") as scratch:
        tree = Path(scratch) / "tree"
        run(["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(tree), mirror()])
        for rubbish in RUBBISH:
            shutil.rmtree(tree / rubbish, ignore_errors=True)
        for document in (tree / "usr/share/doc").glob("*/*"):
            if document.name != "copyright" and not document.is_dir():
                document.unlink()
        (tree / "var" / "cache" / "apt" / "archives" / "partial").mkdir(parents=True)
        archive = subprocess.Popen(
            ["tar", "-C", str(tree), "--one-file-system", "-c", "."], stdout=subprocess.PIPE
        )
        run(["docker", "import", "-", OWN_BASE], stdin=archive)


def mirror() -> str:
    """Where this machine's apt has Debian from."""
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}", "Component: main"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not found:
        raise ImagesError(
            f"this machine's apt knows no mirror with Debian's {SUITE}: add one to sources.list"
        )
    return min(found)


def build(base: str, target: str, image: str) -> None:
    """One target of the Dockerfile."""
    print(f"images: {image}")
    file = str(ROOT / "images" / "Dockerfile")
    run(
        [
            *("docker", "build", "--quiet", "--network", "host", "--build-arg", f"BASE={base}"),
            *("--target", target, "--tag", image, "--file", file, str(ROOT)),
        ]
    )


def succeeds(command: Iterable[str]) -> bool:
    """Whether a command ends well; what it says is nobody's business."""
    return subprocess.run(list(command), capture_output=True, check=False).returncode == 0


def run(command: list[str], stdin: "subprocess.Popen[bytes] | None" = None) -> None:
    """Run a step; its failure is ours."""
    environment = os.environ | {"DOCKER_BUILDKIT": "0"}  # its own builder wants a registry for its parts
    done = subprocess.run(
        command, env=environment, stdin=stdin.stdout if stdin else subprocess.DEVNULL, check=False
    )
    if done.returncode or (stdin is not None and stdin.wait()):
        raise ImagesError(f"`{' '.join(command[:4])} …` failed; its words are above")


if __name__ == "__main__":
    sys.exit(main())
