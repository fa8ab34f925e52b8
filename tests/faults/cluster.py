"""Cluster: what befalls a broker of three nodes, each in a network that can be cut, while clients work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.topology import log_stream
from room import HERE, Room, eventually, usual_parts
from scenarios import Fire, until_true
from stack.broker.cluster import NODES, PrivateCluster
from stack.broker.node import NodeError

Fault = Callable[[], None]

_NO_CONNECTION = "no connection to the broker"
"""What a service says of each node that it has tried in vain."""


@contextmanager
def clustered(place: Path) -> Iterator[tuple[Room, PrivateCluster]]:
    """A room of two of each service on a cluster; each of them connects to another node first."""
    with PrivateCluster(place / "broker") as cluster:
        room = Room(place, cluster.url, usual_parts(copies=2))
        room.urls = {name: _from(cluster, number) for number, name in enumerate(room.parts)}
        try:
            room.open()
            yield room, cluster
        finally:
            room.close()


def _from(cluster: PrivateCluster, first: int) -> str:
    urls = [node.url for node in cluster.nodes]
    return ",".join(urls[(first + number) % NODES] for number in range(NODES))


def log_leader(cluster: PrivateCluster, witness: int = 0) -> int:
    """Which node has the leader of the log, in the words of one that runs."""
    listing = ("list_queues", "--quiet", "--formatter", "json", "name", "leader", "members", "online")
    for queue in json.loads(cluster.nodes[witness].ctl(*listing)):
        if queue["name"] == log_stream(HERE):
            assert len(queue["members"]) == NODES, f"not on every node: {queue}"
            return int(queue["leader"].rpartition(".")[2]) - 11
    raise AssertionError("there is no log")


def node_dies(fire: Fire, cluster: PrivateCluster, choose: Callable[[], int]) -> Fault:
    """A node is killed; work goes on without it; it comes back."""

    def die() -> None:
        number = choose()
        cluster.nodes[number].kill()
        fire.goes_on()
        cluster.nodes[number].start()
        await_whole(cluster, number)

    return die


def majority_dies(room: Room, cluster: PrivateCluster) -> Fault:
    """Two of three nodes are killed: the third pauses, so nobody is served until they are back."""

    def die() -> None:
        last, *others = cluster.nodes
        before = {name: room.words_of(name).count(_NO_CONNECTION) for name in room.parts}
        for node in others:
            node.kill()
        until_true(
            lambda: all(room.words_of(name).count(_NO_CONNECTION) >= before[name] + NODES for name in before)
        )
        for node in others:
            node.launch()
        for node in (*others, last):
            node.await_answer()
        await_whole(cluster, 0)

    return die


def nodes_roll(fire: Fire, cluster: PrivateCluster) -> Fault:
    """Each node is told to end and started anew, one after the other, as for an upgrade."""

    def roll() -> None:
        for number, node in enumerate(cluster.nodes):
            node.stop()
            fire.goes_on()
            node.start()
            await_whole(cluster, number)

    return roll


def node_is_cut_off(
    fire: Fire, cluster: PrivateCluster, choose: Callable[[], int], *, from_clients: bool
) -> Fault:
    """A node is alone: it pauses, the two others go on; and takes part again afterwards."""

    def cut_off() -> None:
        number = choose()
        witness = (number + 1) % NODES
        with cluster.networks.cut(number, from_clients=from_clients):
            eventually(lambda: _assert_running(cluster, witness, NODES - 1))
            fire.goes_on()
        await_whole(cluster, witness)

    return cut_off


def await_whole(cluster: PrivateCluster, witness: int) -> None:
    """Wait until all nodes are one broker again, in the words of one of them."""
    eventually(lambda: _assert_running(cluster, witness, NODES))


def _assert_running(cluster: PrivateCluster, witness: int, count: int) -> None:
    try:
        words = cluster.nodes[witness].ctl("cluster_status", "--quiet", "--formatter", "json")
    except NodeError as error:  # it cannot say, while the others come and go
        raise AssertionError(str(error)) from error
    status = json.loads(words)
    assert len(status["running_nodes"]) == count, status["running_nodes"]
