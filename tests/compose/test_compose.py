"""docker-compose.yml from nothing to VMs that run, through a killed broker, and back to nothing.

Wants Docker's engine with the compose plugin, the images of `make images`, and ports 5672 and 8600.
"""

import http.client
import json
import subprocess
from collections.abc import Iterator

import pytest
from composed import INSTANCES, Composed

STATELESS = ("redirector", "eventhub", "frontend", "dashboard")
"""What is upgraded while VMs run and nobody notices."""

STARTED = dict(zip(INSTANCES, ("Running", "Paused"), strict=True))
"""What a VM is after its start: on the simulator as on the original's."""


@pytest.fixture(name="composed", scope="module")
def bring_up() -> Iterator[Composed]:
    composed = Composed()
    try:
        composed.up()
        yield composed
    finally:
        composed.compose("down", "--volumes")


@pytest.fixture(name="next_version")
def tag_images(composed: Composed) -> Iterator[str]:
    """Images of another version, as far as Docker knows; the old one is what runs again after it."""
    version = composed.version
    images = [f"xenops/{name}" for name in ("service", "worker-kvm", "rabbitmq")]
    for image in images:
        subprocess.run(["docker", "tag", f"{image}:{version}", f"{image}:{version}-next"], check=True)
    yield f"{version}-next"
    composed.version = version
    composed.up()
    for image in images:
        subprocess.run(["docker", "rmi", f"{image}:{version}-next"], check=True)


def test_vms_are_started_through_the_containers_and_outlive_their_broker(composed: Composed) -> None:
    for instance in INSTANCES:
        composed.xenops(instance, "add", f"{instance}.json")
        composed.xenops(instance, "start", "one")
        composed.xenops(instance, "unpause", "one")
    composed.compose("kill", "rabbitmq")
    composed.up()
    for instance in INSTANCES:
        assert composed.state(instance, "one") == "Running"
        composed.xenops(instance, "shutdown", "one")
        assert composed.state(instance, "one") == "Halted"


def test_services_are_upgraded_one_by_one_and_what_was_asked_for_is_done_after_it(
    composed: Composed, next_version: str
) -> None:
    for instance in INSTANCES:
        composed.xenops(instance, "start", "one")
        composed.xenops(instance, "lane-hold", "one")
        composed.xenops(instance, "unpause", "one", "--no-wait")
    composed.upgrade(next_version, *STATELESS)
    assert composed.running(*STATELESS) == {f"xenops/service:{next_version}"}
    composed.xenops(INSTANCES[0], "worker-drain", "worker-sim")
    composed.upgrade(next_version, "worker-sim")
    composed.xenops(INSTANCES[0], "worker-undrain", "worker-sim")
    for instance in INSTANCES:
        assert composed.state(instance, "one") == STARTED[instance]
        composed.xenops(instance, "lane-release", "one")
        composed.xenops(instance, "pause", "one")  # waits for its turn behind what was held
        told = [
            line for line in composed.xenops(instance, "timeline", "one").splitlines() if "VM_unpause" in line
        ]
        assert "done" in told[-2]  # its last line is that of the step
        composed.xenops(instance, "shutdown", "one")


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
