"""Services stand still past what they hold, or are cut off and unheard: who comes back does no harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.node import PrivateNode
from proxy import Proxy
from room import Room, usual_parts
from scenarios import Fire, assert_clean, pauses, until_true

BEHIND_PROXIES = ("redirector", "eventhub", "frontend", "worker")


@pytest.fixture(name="proxies", scope="module")
def open_proxies(node: PrivateNode) -> Iterator[dict[str, Proxy]]:
    proxies = {name: Proxy(node.url) for name in BEHIND_PROXIES}
    yield proxies
    for proxy in proxies.values():
        proxy.close()


@pytest.fixture(name="room", scope="module")
def open_room(place: Path, node: PrivateNode, proxies: dict[str, Proxy]) -> Iterator[Room]:
    """Two of each that may be several; the first of each, and the worker, reach the broker by a proxy."""
    room = Room(place, node.url, usual_parts(copies=2))
    room.urls = {name: proxy.url for name, proxy in proxies.items()}
    try:
        room.open()
        yield room
    finally:
        room.close()


def test_connections_may_be_cut_and_slow(room: Room, proxies: dict[str, Proxy]) -> None:
    def cut() -> None:
        for proxy in proxies.values():
            proxy.cut()

    def slow() -> None:
        for proxy in proxies.values():
            proxy.slow(0.01)

    def drip() -> None:
        for proxy in proxies.values():
            proxy.slow(0.001, drips=True)

    def well() -> None:
        for proxy in proxies.values():
            proxy.slow(0.0)

    assert_clean(Fire(room, lives=3).run(cut, slow, drip, well))


def test_a_worker_and_a_leader_may_stand_still_past_what_they_hold(room: Room) -> None:
    """The worker past its leases, and the leader past its queue: both go on as if nothing had been."""

    def leads(name: str) -> bool:
        words = (room.directory / f"{name}.log").read_text()
        return words.count(": leads\n") > words.count(": leads no more\n")

    standby = next(name for name in ("redirector", "redirector1") if not leads(name))
    leader = next(name for name in ("redirector", "redirector1") if leads(name))

    def leader_is_replaced() -> bool:
        return leads(standby)

    def worker_is_lost() -> bool:
        return fire.log_says_lost("worker")

    fire = Fire(room)
    assert_clean(fire.run(pauses(room, leader, leader_is_replaced), pauses(room, "worker", worker_is_lost)))


def test_connections_may_be_half_open(room: Room, proxies: dict[str, Proxy]) -> None:
    """Nothing arrives, and nobody is told: until the service itself gives its connection up."""
    before = {name: room.words_of(name).count("no connection to the broker") for name in proxies}

    def noticed(name: str) -> bool:
        return room.words_of(name).count("no connection to the broker") > before[name]

    def swallow() -> None:
        for proxy in proxies.values():
            proxy.swallow(all_of_it=True)
        try:
            until_true(lambda: all(map(noticed, proxies)))
        finally:
            for proxy in proxies.values():
                proxy.swallow(all_of_it=False)
                proxy.cut()

    fire = Fire(room)
    assert_clean(fire.run(swallow))
