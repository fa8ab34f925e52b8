"""Composed: the containers of docker-compose.yml under a project name of the tests' own."""

import json
import os
import subprocess
import time
from pathlib import Path
from subprocess import PIPE, STDOUT

ROOT = Path(__file__).resolve().parents[2]
INSTANCES = ("org.xen.xapi.xenops.simulator", "org.xen.xapi.xenops.qemu")
BOOT = {"kernel": "/images/vmlinuz", "initrd": "/images/initrd.gz", "cmdline": "console=ttyS0 tsc=reliable"}
PATIENCE_S = 600.0
LEADERLESS = "no redirector of instance"
"""How the command begins to say that nobody has accepted a task in time."""


class Composed:
    """All of it, with these options of `docker compose`."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self.version = os.environ.get("XENOPS_VERSION", "dev")
        self._vms = ROOT / "var" / "compose"  # which the containers' user may read
        self._vms.mkdir(parents=True, exist_ok=True)
        for instance in INSTANCES:
            vm = {"id": "one", "memory": "128 MiB", "boot": BOOT}
            (self._vms / f"{instance}.json").write_text(json.dumps({"vm": vm}))

    def compose(self, *arguments: str, instance: str = INSTANCES[0]) -> str:
        """What `docker compose` prints; it must end well."""
        done = self.tried(*arguments, instance=instance)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *arguments: str) -> None:
        """Start what does not run, and wait until all is healthy, even what had suffered from its absence."""
        deadline = time.monotonic() + PATIENCE_S
        while (done := self.tried("up", "--wait", "--detach", *arguments)).returncode:
            words = done.stdout + done.stderr
            assert "unhealthy" in words, words
            assert time.monotonic() < deadline, words

    def tried(self, *arguments: str, instance: str = INSTANCES[0]) -> "subprocess.CompletedProcess[str]":
        """What `docker compose` did, with whichever end."""
        told = {"XENOPS_VMS": str(self._vms), "XENOPS_INSTANCE": instance, "XENOPS_VERSION": self.version}
        project = ("--project-name", "xenops-test", "--ansi", "never")
        return subprocess.run(
            ["docker", "compose", *project, *self._options, *arguments],
            cwd=ROOT,
            env=os.environ | told,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def upgrade(self, version: str, *services: str) -> None:
        """Have these services run images of another version, one after the other."""
        self.version = version
        for service in services:
            self.up("--no-deps", service)

    def running(self, *services: str) -> set[str]:
        """The images that these run."""
        return set(self.compose("ps", "--format", "{{.Image}}", *services).split())

    def said(self, service: str) -> list[str]:
        """All lines that a service has written, to whichever of its outputs, as the engine keeps them."""
        container = self.compose("ps", "--quiet", service).strip()
        logs = ["docker", "logs", container]
        done = subprocess.run(logs, stdout=PIPE, stderr=STDOUT, text=True, check=True)
        return done.stdout.splitlines()

    def xenops(self, instance: str, *arguments: str) -> str:
        """What the command prints in its own container."""
        run = ("run", "--rm", "--no-deps", "--no-TTY", "xenops")
        return self.compose(*run, *arguments, instance=instance)

    def insist(self, instance: str, *arguments: str) -> str:
        """As `xenops`, tried again as long as a cluster takes to have a redirector that leads."""
        run = ("run", "--rm", "--no-deps", "--no-TTY", "xenops", *arguments)
        deadline = time.monotonic() + PATIENCE_S
        while LEADERLESS in (done := self.tried(*run, instance=instance)).stderr:
            assert time.monotonic() < deadline, done.stderr
        assert done.returncode == 0, f"{done.stdout}{done.stderr}exit code {done.returncode}"
        return done.stdout

    def state(self, instance: str, vm: str) -> str:
        """A VM's power state."""
        lines = self.xenops(instance, "list").splitlines()
        return next(line.split()[2] for line in lines if line.startswith(f"{vm} "))

    def token(self, role: str) -> str:
        """With which one signs in at the page."""
        lines = self.compose("exec", "--no-TTY", "dashboard", "cat", "/credentials/tokens").splitlines()
        return next(words[2] for words in map(str.split, lines) if words[1:2] == [role])
