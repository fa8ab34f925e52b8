"""Containers: the part of `make test` that wants a Docker engine: images, a VM on each instance, and down.

Where no engine answers it is not run, and says so: everything else is tested on private nodes and processes.
"""

import socket
import subprocess
import sys
from pathlib import Path

import images

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
PORTS = (5672, 8600)
"""What docker-compose.yml publishes."""

TESTS = ("tests/compose/test_compose.py", "-k", "started_through_the_containers or page_shows or rights")
"""Of `make test-compose` what takes two minutes; upgrades and profiles take four more."""


def main() -> int:
    """Run it, or say why not; answers the exit code."""
    why = why_not()
    if why:
        print(f"containers: docker-compose.yml is not run: {why}")
        return 0
    if images.main():
        return 1
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], cwd=ROOT, check=False).returncode


def why_not() -> str:
    """Why docker-compose.yml cannot be run here; "" if it can."""
    try:
        images.refuse_without_docker()
        if not images.succeeds(["docker", "compose", "version"]):
            return "docker has no plugin `compose`: install it (2.20 or later)"
        taken = [port for port in PORTS if is_taken(port)]
        if taken:
            return f"somebody listens at {LOOPBACK}:{taken[0]}, as `docker compose up` would"
        images.find_base()
    except images.ImagesError as error:
        return str(error)
    return ""


def is_taken(port: int) -> bool:
    """Whether somebody listens at a port of this machine's loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


if __name__ == "__main__":
    sys.exit(main())
