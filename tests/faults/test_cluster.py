"""A broker of three nodes loses the one that leads the log; `make faults` cuts nodes off, too, and more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from bus.ports import BEGINNING
from bus.rabbit import RabbitBus
from bus.topology import log_stream
from cluster import clustered, log_leader, node_dies
from room import PATIENCE_S, Room
from scenarios import Fire, assert_clean
from schema.ids import InstanceName
from stack.broker.cluster import PrivateCluster


@pytest.fixture(name="clustered_room", scope="module")
def open_room(place: Path) -> Iterator[tuple[Room, PrivateCluster]]:
    if os.geteuid():
        pytest.skip("only root makes networks for the nodes of a cluster")
    with clustered(place) as both:
        yield both


def test_the_node_that_leads_the_log_may_be_killed(clustered_room: tuple[Room, PrivateCluster]) -> None:
    room, cluster = clustered_room
    fire = Fire(room, lives=3)
    assert_clean(fire.run(node_dies(fire, cluster, lambda: log_leader(cluster))))


def test_a_log_that_is_on_another_node_alone_is_found_there(
    clustered_room: tuple[Room, PrivateCluster],
) -> None:
    _, cluster = clustered_room
    instance, (here, there, _) = InstanceName("elsewhere"), cluster.nodes
    connection = pika.BlockingConnection(pika.URLParameters(there.url))
    alone = {"x-queue-type": "stream", "x-initial-cluster-size": 1, "x-queue-leader-locator": "client-local"}
    connection.channel().queue_declare(log_stream(instance), durable=True, arguments=alone)
    connection.close()
    bus = RabbitBus(f"{here.url},{there.url}", "test", makes_logs=None)
    try:
        bus.tail(instance, BEGINNING, lambda _: None, lambda: None)
        bus.ready(PATIENCE_S)
    finally:
        bus.close()
