"""docker-compose.yml from nothing to VMs that run, through a killed broker, and back to nothing.

Wants Docker's engine with the compose plugin, the images of `make images`, and ports 5672 and 8600.
"""

import http.client
import json
import subprocess
from collections.abc import Iterator

import pytest
from composed import INSTANCES, Composed


@pytest.fixture(name="composed", scope="module")
def bring_up() -> Iterator[Composed]:
    composed = Composed()
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
