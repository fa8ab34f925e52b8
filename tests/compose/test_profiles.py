"""docker-compose.yml with its profiles: a broker of three nodes that die in turn, and Prometheus.

Wants what `test_compose` wants, and port 9090.
"""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from composed import INSTANCES, ROOT, Composed

NODES = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
UNTIL_SCRAPED = """
import json, time, urllib.request
while True:
    url = 'http://127.0.0.1:9090/api/v1/query?query=xenops_ready'
    found = json.load(urllib.request.urlopen(url, timeout=30))
    if found['data']['result']:
        break
    time.sleep(0.2)
"""


@pytest.fixture(name="composed", scope="module")
def bring_up() -> Iterator[Composed]:
    profiles = ("--profile", "three-brokers", "--profile", "prometheus")
    composed = Composed("--env-file", str(ROOT / "images" / "three-brokers.env"), *profiles)
    try:
        composed.up()
        yield composed
    finally:
        composed.compose("down", "--volumes")


def ctl(composed: Composed, node: str, *words: str) -> Any:
    told = composed.compose(
        *("exec", "--no-TTY", node, "rabbitmqctl", "--quiet", "--node", f"rabbit@{node}"),
        *(words[0], "--formatter", "json", *words[1:]),
    )
    return json.loads(told)


def looked_up(composed: Composed, name: str) -> str:
    """What the node that never dies makes of the name of another."""
    words = ("exec", "--no-TTY", NODES[1], "rabbitmqctl", "--quiet", "--node", f"rabbit@{NODES[1]}", "eval")
    return composed.compose(*words, f'inet:getaddr("{name}", inet).').strip()


def asked(path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/{path}", timeout=60) as answer:
        return json.load(answer)["data"]


def test_prometheus_scrapes_the_page_and_knows_every_rule(composed: Composed) -> None:
    composed.compose("exec", "--no-TTY", "prometheus", "python3", "-c", UNTIL_SCRAPED)
    assert [target["health"] for target in asked("targets")["activeTargets"]] == ["up"]
    assert {value["metric"]["instance"] for value in asked("query?query=xenops_ready")["result"]} == set(
        INSTANCES
    )
    known = {rule["name"] for group in asked("rules")["groups"] for rule in group["rules"]}
    written = (ROOT / "docs" / "operators" / "alerts.yml").read_text()
    assert known == {line.split()[-1] for line in written.splitlines() if "- alert:" in line}


def test_three_nodes_are_one_broker_and_any_of_them_may_die(composed: Composed) -> None:
    assert set(ctl(composed, NODES[0], "cluster_status")["running_nodes"]) == {
        f"rabbit@{node}" for node in NODES
    }
    streams = [
        queue for queue in ctl(composed, NODES[0], "list_queues", "name", "members") if queue["members"]
    ]
    logs = [queue for queue in streams if queue["name"].startswith("xenops.log.")]
    assert len(logs) >= len(INSTANCES)
    assert all(len(queue["members"]) == len(NODES) for queue in logs)
    simulator = INSTANCES[0]
    composed.xenops(simulator, "add", f"{simulator}.json")
    composed.xenops(simulator, "start", "one")
    for node in (NODES[0], NODES[2]):
        composed.compose("kill", node)
        composed.insist(simulator, "unpause", "one")
        assert composed.state(simulator, "one") == "Running"
        composed.insist(simulator, "pause", "one")
        assert looked_up(composed, node) == "{error,nxdomain}", "remembered: silence is met there"
        composed.up()
    assert composed.state(simulator, "one") == "Paused"
