"""Images: docker-compose.yml's, built on a registry's Debian, or on Debian's packages alone.

Needs Docker's engine and its client. Python's libraries are installed outside, at the locked versions, and
copied: what is built twice an hour must not take minutes.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import debian_base
import docker_engine
import setup
from guest import GuestError

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "var" / "images" / "python"
PYTHON_IN_IMAGE = "/opt/xenops"
VERSION = (3, 11)
"""Debian 12's Python, which runs what is installed here."""

BASE = "base"
"""The Dockerfile in images/, and the image, on which all others stand."""

SERVICE = "service"
"""The Dockerfile that takes what is installed here; all others see `images/` alone, while that is made."""

IMAGES: Mapping[str, tuple[str, ...]] = {
    "broker": ("rabbitmq",),
    SERVICE: ("service", "worker-kvm", "worker-xen"),
    "prometheus": ("prometheus",),
}
"""Each Dockerfile, and its targets, which are the names of images, too."""

PACKAGES = tuple(package for package in setup.OWN_PACKAGES if package not in {"simulation", "testing"})
"""The distributions that are installed: all but those for tests alone."""


BUILDER = "hatchling"
"""What our distributions are built by, once for all of them."""

LEFT_OUT = ("libvirt-python",)
"""What no container can use: libvirt's daemon is the host's, and drives VMs in files of the host's."""


class ImagesError(Exception):
    """The images cannot be built; the sentence says why and what to do."""


def main(wanted: Iterable[str] = ()) -> int:
    """Build what docker-compose.yml names, or only the wanted images; answers the exit code."""
    try:
        build_all(tuple(wanted) or tuple(name for names in IMAGES.values() for name in names))
    except (ImagesError, GuestError, setup.SetupError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def build_all(wanted: tuple[str, ...]) -> None:
    """Build these images, those of several Dockerfiles at a time.

    Raises:
        ImagesError, GuestError, SetupError: something is missing, or a step has failed.
    """
    refuse_without_docker()
    with ThreadPoolExecutor() as several:
        python = several.submit(install_python, PYTHON)
        found = debian_base.find()
        print(f"images: base {found}", flush=True)
        build(BASE, BASE, {"BASE": found})
        steps = [several.submit(build_file, file, wanted, python) for file in IMAGES]
        for step in (python, *steps):
            step.result()


def build_file(file: str, wanted: tuple[str, ...], python: "Future[None]") -> None:
    """The wanted targets of one Dockerfile."""
    for target in IMAGES[file]:
        if target in wanted:
            if file == SERVICE:
                python.result()
            build(file, target, {"BASE": tag(BASE)})


def refuse_without_docker() -> None:
    """Say in words that there is no engine."""
    why = docker_engine.what_docker_says(os.environ)
    if why:
        raise ImagesError(f"{why}: start Docker (Debian: docker.io), or name the engine in DOCKER_HOST")


def install_python(place: Path) -> None:
    """The libraries and our own distributions as a virtual environment of the image's Python, compiled."""
    if sys.version_info[:2] != VERSION:
        raise ImagesError(
            f"images have Python {VERSION[0]}.{VERSION[1]}, which must be python3 here, too, and is not: "
            "build them on Debian 12"
        )
    uv = setup.find_uv()
    shutil.rmtree(place, ignore_errors=True)
    setup.run([uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(place)])
    locked = re.findall(r"^[\w.-]+==[^ \\\n]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    constraints = place.with_name("constraints.txt")
    constraints.write_text("\n".join(locked))  # without hashes: our own distributions have none
    left_out = place.with_name("left-out.txt")
    left_out.write_text("".join(f"{name}; python_version < '3'\n" for name in LEFT_OUT))
    python = str(place / "bin" / "python")
    options = ["--quiet", "--link-mode", "copy", "--constraint", str(constraints), "--python", python]
    setup.run([uv, "pip", "install", *options, BUILDER])
    options += ["--override", str(left_out), "--no-build-isolation"]
    setup.run([uv, "pip", "install", *options, *(str(ROOT / package) for package in PACKAGES)])
    for told in place.rglob("*.dist-info/direct_url.json"):
        told.unlink()  # where our sources lie on this machine
    if libraries := sorted(map(str, place.rglob("*.so"))):
        setup.run(["strip", "--strip-unneeded", *libraries])
    moved = ["-s", str(place), "-p", PYTHON_IN_IMAGE, "--invalidation-mode", "unchecked-hash"]
    setup.run([python, "-m", "compileall", "-q", "-j", "2", *moved, str(place / "lib")])
    (place / "bin" / "python").unlink()
    (place / "bin" / "python").symlink_to("/usr/bin/python3")


def build(file: str, target: str, arguments: Mapping[str, str]) -> None:
    """One target of a Dockerfile."""
    told = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    what = ["--target", target, "--tag", tag(target), "--file", str(ROOT / "images" / f"{file}.Dockerfile")]
    context = ROOT if file == SERVICE else ROOT / "images"
    command = ["docker", "build", "--quiet", "--network", "host", *told, *what, str(context)]
    environment = os.environ | {"DOCKER_BUILDKIT": "0"}  # its own builder wants a registry for its parts
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImagesError(f"{tag(target)} could not be built:\n{done.stdout}{done.stderr}")
    print(f"images: {tag(target)}", flush=True)


def tag(image: str) -> str:
    """An image's whole name."""
    return f"xenops/{image}:{os.environ.get('XENOPS_VERSION', 'dev')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
