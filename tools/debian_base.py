"""Debian base: the image on which ours stand: a registry's Debian, or one made here of Debian's packages."""

import os
import shutil
import subprocess
from pathlib import Path

from guest import GuestError

LEAN = Path(__file__).resolve().parent.parent / "images" / "lean"

REGISTRY = "debian:12-slim"
"""Where a registry can be reached."""

OWN = "xenops/debian:12"
"""The same, made by mmdebstrap, as root, from the mirror that this machine's own apt uses; it is kept."""

SUITE = "bookworm"
INCLUDED = "ca-certificates,python3"
"""What images/base.Dockerfile would install into it: so it is done at once."""

MEMORY, ROOM_BYTES = "/dev/shm", 1 << 30  # noqa: S108  mmdebstrap makes a directory of its own there
"""What it is unpacked in, if so much is free."""

MERGED = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
"""With /usr as one from the beginning, nothing needs Perl to make it so."""

RUBBISH = "usr/share/man usr/share/info usr/share/locale var/log/*.log var/log/apt"
"""What is there before images/lean counts."""


def find() -> str:
    """The base image: one that is there, or a registry's, or one of our own making.

    Raises:
        GuestError: there is none, and it cannot be made.
    """
    for name in (OWN, REGISTRY):
        if succeeds("docker", "image", "inspect", name):
            return name
    if succeeds("docker", "pull", "--quiet", REGISTRY):
        return REGISTRY
    refuse_where_it_cannot_be_made()
    print(f"images: no registry gives {REGISTRY}: {OWN} is made of Debian's packages", flush=True)
    make()
    return OWN


def refuse_where_it_cannot_be_made() -> None:
    """Say in words what is missing."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        raise GuestError("a base image is made by mmdebstrap, as root: apt-get install mmdebstrap, then sudo")


def make() -> None:
    """A minimal Debian as an image; packages are unpacked in memory where there is room."""
    options = ["--quiet", "--variant=minbase", f"--include={INCLUDED}", "--dpkgopt=force-unsafe-io"]
    hooks = [
        f"--hook-dir={MERGED}",
        f'--essential-hook=cp {LEAN} "$1/etc/dpkg/dpkg.cfg.d/lean"',
        f'--customize-hook=cd "$1" && rm -rf {RUBBISH}',
        '--customize-hook=find "$1/usr/share/doc" -type f ! -name copyright -delete',
    ]
    command = ["mmdebstrap", *options, *hooks, SUITE, "-", mirror()]
    made = subprocess.Popen(command, env=os.environ | room(), stdout=subprocess.PIPE)
    taken = subprocess.run(["docker", "import", "-", OWN], stdin=made.stdout, check=False)
    if made.wait() or taken.returncode:
        raise GuestError(f"{OWN} could not be made; mmdebstrap's and docker's words are above")


def room() -> dict[str, str]:
    """Where packages are unpacked, told by the environment: in memory, ten times as fast on a busy disk."""
    free = shutil.disk_usage(MEMORY).free if os.access(MEMORY, os.W_OK) else 0
    return {"TMPDIR": MEMORY} if free > ROOM_BYTES else {}


def mirror() -> str:
    """Where this machine's apt has Debian from."""
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}", "Component: main"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not found:
        raise GuestError(f"this machine's apt knows no mirror with Debian's {SUITE}: add one to sources.list")
    return min(found)


def succeeds(*command: str) -> bool:
    """Whether a command ends well; what it says is nobody's business."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
