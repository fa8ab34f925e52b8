"""docker-compose.yml with worker-xen, on a machine without Xen: it says what is missing, and is not healthy.

Wants what `test_compose` wants; in dom0 of a Xen host there is nothing to see here.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from composed import PATIENCE_S, ROOT, Composed

SERVICE = "worker-xen"
INSTANCE = "org.xen.xapi.xenops.classic"

pytestmark = pytest.mark.skipif(Path("/proc/xen/capabilities").exists(), reason="this is a host with Xen")


@pytest.fixture(name="composed", scope="module")
def bring_up() -> Iterator[Composed]:
    composed = Composed("--env-file", str(ROOT / "images" / "xen-host.env"), "--profile", "xen")
    try:
        composed.up("frontend", "redirector", "eventhub")
        composed.compose("up", "--detach", "--no-deps", SERVICE)
        yield composed
    finally:
        composed.compose("down", "--volumes")


def seen(composed: Composed) -> dict[str, Any]:
    [told] = composed.compose("ps", "--format", "json", SERVICE).splitlines()
    found: dict[str, Any] = json.loads(told)
    return found


def test_a_worker_without_xen_says_so_once_and_is_not_healthy(composed: Composed) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while seen(composed)["Health"] != "unhealthy":
        assert time.monotonic() < deadline, seen(composed)
        time.sleep(0.5)
    assert seen(composed)["State"] == "running"
    [said] = composed.said(SERVICE)
    assert said.startswith("worker-xen: this host runs without Xen")
    assert said.endswith("this container waits")


def test_its_image_has_the_bindings_to_xens_libraries(composed: Composed) -> None:
    loaded = "from worker_xen.prepare import main; import sys; sys.exit(main([]))"
    words = ("run", "--rm", "--no-deps", "--no-TTY", "--env", "CC=/nothing/that/compiles", SERVICE)
    composed.compose(*words, "python", "-c", loaded)


def test_its_instance_is_served_by_all_others_and_a_worker_is_asked_for(composed: Composed) -> None:
    heading, *workers = composed.xenops(INSTANCE, "workers").splitlines()
    assert heading.startswith("WORKER")
    assert not workers
    done = composed.tried("run", "--rm", "--no-deps", "--no-TTY", "xenops", "list", instance=INSTANCE)
    assert f"no worker of instance {INSTANCE} is running: start one" in done.stdout + done.stderr
    assert done.returncode
