"""Storms: all that happens under load, each a slice: on one broker, behind proxies, on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

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
from stack.broker.cluster import PrivateCluster
from stack.broker.node import PrivateNode

COLUMNS = "fault | times | promised | lost | duplicated | stuck | invalid | missed | recovery p50 | max"

Fault = Callable[[], None]
Place = Callable[[str], AbstractContextManager[Path]]


@dataclass(frozen=True, slots=True)
class Usual:
    """A room on one broker; `took_s`: what its faults have measured."""

    room: Room
    node: PrivateNode
    took_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Proxied:
    """A room whose processes reach the broker by proxies, which do not always carry."""

    room: Room
    proxies: dict[str, Proxy]


UNDER_LOAD: Mapping[str, tuple[str, Callable[[Usual], list[Fault]]]] = {
    "worker": ("kill -9 worker", lambda at: [restarts(at.room, "worker")] * 5),
    "frontend": ("kill -9 frontend", lambda at: [restarts(at.room, "frontend")] * 5),
    "eventhub": ("kill -9 eventhub", lambda at: [restarts(at.room, "eventhub")] * 5),
    "redirector": ("kill -9 the leading redirector", lambda at: [leader_dies(at.room, at.took_s)] * 10),
    "broker": ("kill -9 the broker", lambda at: [broker_restarts(at.node, at.took_s)] * 3),
    "rolling": ("rolling restart of every service", lambda at: [rolls(at.room)]),
    "memory": ("memory alarm", lambda at: [memory_alarm(at.room, at.node)]),
    "disk": ("disk alarm", lambda at: [disk_alarm(at.room, at.node)]),
    "still-eventhub": (
        "eventhub stands still until it is given up",
        lambda at: [stands_still(at.room, at.node, "eventhub")],
    ),
    "still-frontend": (
        "frontend stands still until it is given up",
        lambda at: [stands_still(at.room, at.node, "frontend")],
    ),
}
"""What happens on one broker, by the slice's name."""

_MEASURED = {
    "redirector": "Leadership passes, from SIGKILL to the next lease",
    "broker": "Of a recovery from the broker's death so much is its own, until it answers again",
}

BY_PROXIES: Mapping[str, tuple[str, Callable[[Proxied, Fire], list[Fault]]]] = {
    "broken": ("connections cut, slow, dripping, well", lambda at, _: breaks_and_crawls(at.proxies)),
    "still-leader": (
        "the leader stands still past its queue",
        lambda at, _: [leader_stands_still(at.room)],
    ),
    "still-worker": (
        "the worker stands still past its leases",
        lambda at, fire: [worker_stands_still(at.room, fire)],
    ),
    "half-open": ("connections half-open", lambda at, _: [goes_silent(at.room, at.proxies)]),
}
"""The same where the broker is reached by proxies."""


@dataclass(frozen=True, slots=True)
class Clustered:
    """A room on a cluster of three nodes, under load."""

    room: Room
    cluster: PrivateCluster
    fire: Fire

    def dies(self) -> Fault:
        """The node that leads the log."""
        return node_dies(self.fire, self.cluster, partial(log_leader, self.cluster))

    def is_cut_off(self, choose: Callable[[], int], *, from_clients: bool) -> Fault:
        """A node is alone for a while."""
        return node_is_cut_off(self.fire, self.cluster, choose, from_clients=from_clients)


ON_A_CLUSTER: Mapping[str, tuple[str, Callable[[Clustered], list[Fault]]]] = {
    "leader": ("the node that leads the log is killed, and comes back", lambda at: [at.dies()] * 2),
    "majority": (
        "two of three nodes are killed, and come back",
        lambda at: [majority_dies(at.room, at.cluster)],
    ),
    "rolling": ("rolling restart of the three nodes", lambda at: [nodes_roll(at.fire, at.cluster)]),
    "leader-cut-off": (
        "the node that leads the log is cut off from its peers",
        lambda at: [at.is_cut_off(partial(log_leader, at.cluster), from_clients=False)],
    ),
    "first-cut-off": (
        "the node of the first redirector is cut off from its peers",
        lambda at: [at.is_cut_off(lambda: 0, from_clients=False)],
    ),
    "cut-off": (
        "a node is cut off from all",
        lambda at: [at.is_cut_off(lambda: 0, from_clients=True)],
    ),
}
"""The same on a cluster."""


def under_load(sheet: Sheet, own_place: Place, name: str) -> None:
    """On one broker."""
    title, faults = UNDER_LOAD[name]
    with own_place("fire") as place, PrivateNode(place / "broker") as node:
        at = Usual(Room(place, node.url, usual_parts(copies=2)), node)
        try:
            at.room.open()
            _burn(sheet, at.room, title, lambda _: faults(at))
        finally:
            at.room.close()
    if name in _MEASURED:
        sheet.say(f"{_MEASURED[name]}: p50 | max: {' | '.join(times(at.took_s))}.")


def by_proxies(sheet: Sheet, own_place: Place, name: str) -> None:
    """The broker is reached by proxies."""
    title, faults = BY_PROXIES[name]
    with (
        own_place("proxy") as place,
        PrivateNode(place / "broker") as node,
        behind_proxies(place, node) as (room, proxies),
    ):
        _burn(sheet, room, title, partial(faults, Proxied(room, proxies)))


def on_a_cluster(sheet: Sheet, own_place: Place, name: str) -> None:
    """The broker has three nodes."""
    if os.geteuid():
        sheet.complain("no cluster was tried: only root makes networks for its nodes")
        return
    title, faults = ON_A_CLUSTER[name]
    with own_place("cluster") as place, clustered(place) as (room, cluster):
        _burn(sheet, room, title, lambda fire: faults(Clustered(room, cluster, fire)))


def _burn(sheet: Sheet, room: Room, title: str, faults: Callable[[Fire], list[Fault]]) -> None:
    fire = Fire(room)
    outcome = fire.run(*faults(fire))
    sheet.row(title, outcome.faults, *outcome.counts.all, *times(outcome.recoveries_s))
    sheet.complain(*(f"{title}: {complaint}" for complaint in outcome.complaints))
    if not outcome.counts.clean:
        sheet.complain(f"{title}: {words_of(outcome.counts.all)}")
