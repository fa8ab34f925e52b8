"""docker-compose.yml from nothing to VMs that run, through a killed broker, and back to nothing.

Wants Docker's engine with the compose plugin, the images of `make images`, and ports 5672 and 8600.
"""

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTANCES = ("org.xen.xapi.xenops.simulator", "org.xen.xapi.xenops.qemu")
BOOT = {"kernel": "/images/vmlinuz", "initrd": "/images/initrd.gz", "cmdline": "console=ttyS0 tsc=reliable"}
PATIENCE_S = 600.0


class Composed:
    """The containers of docker-compose.yml under a project name of the test's own."""

    def __init__(self, vms: Path) -> None:
        self.vms = vms

    def compose(self, *arguments: str, instance: str = INSTANCES[0]) -> str:
        """What `docker compose` prints; it must end well."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", "xenops-test", "--ansi", "never", *arguments],
            cwd=ROOT,
            env=os.environ | {"XENOPS_VMS": str(self.vms), "XENOPS_INSTANCE": instance},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def xenops(self, instance: str, *arguments: str) -> str:
        """What the command prints in its own container."""
        return self.compose("run", "--rm", "--no-TTY", "xenops", *arguments, instance=instance)

    def state(self, instance: str, vm: str) -> str:
        """A VM's power state."""
        lines = self.xenops(instance, "list").splitlines()
        return next(line.split()[2] for line in lines if line.startswith(f"{vm} "))

    def token(self, role: str) -> str:
        """With which one signs in at the page."""
        lines = self.compose("exec", "--no-TTY", "dashboard", "cat", "/credentials/tokens").splitlines()
        return next(words[2] for words in map(str.split, lines) if words[1:2] == [role])


@pytest.fixture(name="composed", scope="module")
def bring_up() -> Iterator[Composed]:
    vms = ROOT / "var" / "compose"  # which the containers' user may read
    vms.mkdir(parents=True, exist_ok=True)
    for instance in INSTANCES:
        vm = {"id": "one", "memory": "128 MiB", "boot": BOOT}
        (vms / f"{instance}.json").write_text(json.dumps({"vm": vm}))
    composed = Composed(vms)
    try:
        composed.compose("up", "--wait", "--detach")
        yield composed
    finally:
        composed.compose("down", "--volumes")


@pytest.mark.parametrize("instance", INSTANCES)
def test_a_vm_is_started_through_the_containers_and_outlives_their_broker(
    composed: Composed, instance: str
) -> None:
    composed.xenops(instance, "add", f"{instance}.json")
    composed.xenops(instance, "start", "one")
    composed.xenops(instance, "unpause", "one")
    composed.compose("kill", "rabbitmq")
    composed.compose("up", "--wait", "--detach")
    assert composed.state(instance, "one") == "Running"
    composed.xenops(instance, "shutdown", "one")
    assert composed.state(instance, "one") == "Halted"


def test_the_page_shows_both_instances_to_who_may_look(composed: Composed) -> None:
    page = http.client.HTTPConnection("127.0.0.1", 8600, timeout=60)
    page.request("GET", "/api/v1/instances", headers={"Authorization": f"Bearer {composed.token('reader')}"})
    text = page.getresponse().read().decode()
    page.close()
    assert all(instance in text for instance in INSTANCES)


def test_no_container_keeps_more_rights_than_it_needs(composed: Composed) -> None:
    names = composed.compose("ps", "--format", "{{.Name}} {{.Service}}").split("\n")
    for name, service in (line.split() for line in names if line):
        told = json.loads(subprocess.run(["docker", "inspect", name], capture_output=True, check=True).stdout)
        assert told[0]["HostConfig"]["CapDrop"] == ["ALL"], service
        assert not told[0]["HostConfig"]["Privileged"], service
        assert told[0]["Config"]["User"] in {"xenops", "rabbitmq"}, service
