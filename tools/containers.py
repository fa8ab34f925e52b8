"""Containers: the part of `make test` that wants a Docker engine: images, a VM on each instance, and down.

The engine is the one that answers, or a private one (see `docker_engine`). Where neither can be it is not
run, and says so: everything else is tested on private nodes and processes.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import debian_base
import docker_engine

import images

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
PORTS = (5672, 8600)
"""What docker-compose.yml publishes."""

IMAGES = ("rabbitmq", "service", "worker-kvm")
"""What they need."""

TESTS = ("tests/compose/test_compose.py", "-k", "started_through_the_containers or page_shows or rights")
"""Of `make test-compose` what takes two minutes; upgrades and profiles take four more."""


def main() -> int:
    """Run it, or say why not; answers the exit code."""
    try:
        with docker_engine.at_hand() as environment:
            os.environ.update(environment)
            return run()
    except docker_engine.EngineError as error:
        print(f"containers: docker-compose.yml is not run: {error}")
        return 0


def run() -> int:
    """Build images and run the tests with the engine at hand."""
    why = why_not()
    if why:
        print(f"containers: docker-compose.yml is not run: {why}")
        return 0
    if images.main(IMAGES):
        return 1
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], cwd=ROOT, check=False).returncode


def why_not() -> str:
    """Why docker-compose.yml cannot be run here; "" if it can."""
    if not debian_base.succeeds("docker", "compose", "version"):
        return "docker has no plugin `compose`: install it (2.20 or later)"
    taken = [port for port in PORTS if is_taken(port)]
    if taken:
        return f"somebody listens at {LOOPBACK}:{taken[0]}, as `docker compose up` would"
    return ""


def is_taken(port: int) -> bool:
    """Whether somebody listens at a port of this machine's loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


if __name__ == "__main__":
    sys.exit(main())
