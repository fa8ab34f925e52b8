"""Storms: all that happens under load, as slices: on one broker, behind proxies, on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from bus.cluster import PrivateCluster
from bus.node import PrivateNode
from cluster import clustered, log_leader, majority_dies, node_dies, node_is_cut_off, nodes_roll
from cut_off import behind_proxies, breaks_and_crawls, goes_silent, leader_stands_still, worker_stands_still
from page import Sheet, times, words_of
from proxy import Proxy
from room import Room, usual_parts
from scenarios import (
    Fire,
    broker_restarts,
    disk_alarm,
    leader_dies,
    memory_alarm,
    restarts,
    rolls,
    stands_still,
)

COLUMNS = "fault | times | promised | lost | duplicated | stuck | invalid | missed | recovery p50 | max"

Fault = Callable[[], None]
Scenario = tuple[str, Callable[[Fire], list[Fault]]]
Place = Callable[[str], AbstractContextManager[Path]]


def under_load(sheet: Sheet, own_place: Place) -> None:
    """On one broker."""
    passages_s, away_s = list[float](), list[float]()
    with own_place("fire") as place, PrivateNode(place / "broker") as node:
        room = Room(place, node.url, usual_parts(copies=2))
        try:
            room.open()
            _burn(sheet, room, _usual(room, node, passages_s, away_s))
        finally:
            room.close()
    sheet.say(
        f"Leadership passes, from SIGKILL to the next lease: p50 | max: {' | '.join(times(passages_s))}. So "
        "much of a recovery from the broker's death is its own, until it answers again: p50 | max: "
        f"{' | '.join(times(away_s))}."
    )


def by_proxies(sheet: Sheet, own_place: Place) -> None:
    """The broker is reached by proxies, which do not always carry."""
    with (
        own_place("proxy") as place,
        PrivateNode(place / "broker") as node,
        behind_proxies(place, node) as (room, proxies),
    ):
        _burn(sheet, room, _by_proxies(room, proxies))


def on_a_cluster(sheet: Sheet, own_place: Place) -> None:
    """The broker has three nodes."""
    if os.geteuid():
        sheet.complain("no cluster was tried: only root makes networks for its nodes")
        return
    with own_place("cluster") as place, clustered(place) as (room, cluster):
        _burn(sheet, room, _on_a_cluster(room, cluster))


def _burn(sheet: Sheet, room: Room, scenarios: Iterator[Scenario]) -> None:
    for name, faults in scenarios:
        fire = Fire(room)
        outcome = fire.run(*faults(fire))
        sheet.row(name, outcome.faults, *outcome.counts.all, *times(outcome.recoveries_s))
        sheet.complain(*(f"{name}: {complaint}" for complaint in outcome.complaints))
        if not outcome.counts.clean:
            sheet.complain(f"{name}: {words_of(outcome.counts.all)}")


def _usual(room: Room, node: PrivateNode, passages_s: list[float], away_s: list[float]) -> Iterator[Scenario]:
    for name in ("worker", "frontend", "eventhub"):
        yield f"kill -9 {name}", lambda _, name=name: [restarts(room, name)] * 5  # type: ignore[misc]
    yield "kill -9 the leading redirector", lambda _: [leader_dies(room, passages_s)] * 10
    yield "kill -9 the broker", lambda _: [broker_restarts(node, away_s)] * 3
    yield "rolling restart of every service", lambda _: [rolls(room)]
    yield "memory alarm", lambda _: [memory_alarm(room, node)]
    yield "disk alarm", lambda _: [disk_alarm(room, node)]
    for name in ("eventhub", "frontend"):
        yield (
            f"{name} stands still until it is given up",
            lambda _, name=name: [stands_still(room, node, name)],  # type: ignore[misc]
        )


def _by_proxies(room: Room, proxies: dict[str, Proxy]) -> Iterator[Scenario]:
    yield "connections cut, slow, dripping, well", lambda _: breaks_and_crawls(proxies)
    yield "the leader stands still past its queue", lambda _: [leader_stands_still(room)]
    yield "the worker stands still past its leases", lambda fire: [worker_stands_still(room, fire)]
    yield "connections half-open", lambda _: [goes_silent(room, proxies)]


def _on_a_cluster(room: Room, cluster: PrivateCluster) -> Iterator[Scenario]:
    def leader() -> int:
        return log_leader(cluster)

    def first() -> int:
        return 0

    yield (
        "the node that leads the log is killed, and comes back",
        lambda fire: [node_dies(fire, cluster, leader)] * 2,
    )
    yield "two of three nodes are killed, and come back", lambda _: [majority_dies(room, cluster)]
    yield "rolling restart of the three nodes", lambda fire: [nodes_roll(fire, cluster)]
    yield (
        "the node that leads the log is cut off from its peers",
        lambda fire: [node_is_cut_off(fire, cluster, leader, from_clients=False)],
    )
    yield (
        "the node of the first redirector is cut off from its peers",
        lambda fire: [node_is_cut_off(fire, cluster, first, from_clients=False)],
    )
    yield (
        "a node is cut off from all",
        lambda fire: [node_is_cut_off(fire, cluster, first, from_clients=True)],
    )
