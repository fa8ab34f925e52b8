"""Composed: the containers of docker-compose.yml under a project name of the tests' own."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTANCES = ("org.xen.xapi.xenops.simulator", "org.xen.xapi.xenops.qemu")
BOOT = {"kernel": "/images/vmlinuz", "initrd": "/images/initrd.gz", "cmdline": "console=ttyS0 tsc=reliable"}
PATIENCE_S = 600.0


class Composed:
    """All of it, with these options of `docker compose`."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._vms = ROOT / "var" / "compose"  # which the containers' user may read
        self._vms.mkdir(parents=True, exist_ok=True)
        for instance in INSTANCES:
            vm = {"id": "one", "memory": "128 MiB", "boot": BOOT}
            (self._vms / f"{instance}.json").write_text(json.dumps({"vm": vm}))

    def compose(self, *arguments: str, instance: str = INSTANCES[0]) -> str:
        """What `docker compose` prints; it must end well."""
        done = subprocess.run(
            [
                *("docker", "compose", "--project-name", "xenops-test", "--ansi", "never"),
                *self._options,
                *arguments,
            ],
            cwd=ROOT,
            env=os.environ | {"XENOPS_VMS": str(self._vms), "XENOPS_INSTANCE": instance},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def xenops(self, instance: str, *arguments: str) -> str:
        """What the command prints in its own container."""
        run = ("run", "--rm", "--no-deps", "--no-TTY", "xenops")
        return self.compose(*run, *arguments, instance=instance)

    def state(self, instance: str, vm: str) -> str:
        """A VM's power state."""
        lines = self.xenops(instance, "list").splitlines()
        return next(line.split()[2] for line in lines if line.startswith(f"{vm} "))

    def token(self, role: str) -> str:
        """With which one signs in at the page."""
        lines = self.compose("exec", "--no-TTY", "dashboard", "cat", "/credentials/tokens").splitlines()
        return next(words[2] for words in map(str.split, lines) if words[1:2] == [role])
