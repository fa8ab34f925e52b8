"""Services stand still past what they hold, or are cut off and unheard: who comes back does no harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cut_off import behind_proxies, breaks_and_crawls, goes_silent, leader_stands_still, worker_stands_still
from proxy import Proxy
from room import Room
from scenarios import Fire, assert_clean
from stack.broker.node import PrivateNode

Behind = tuple[Room, dict[str, Proxy]]


@pytest.fixture(name="behind", scope="module")
def open_room(place: Path, node: PrivateNode) -> Iterator[Behind]:
    with behind_proxies(place, node) as behind:
        yield behind


def test_connections_may_be_cut_and_slow(behind: Behind) -> None:
    room, proxies = behind
    assert_clean(Fire(room, lives=3).run(*breaks_and_crawls(proxies)))


def test_a_worker_and_a_leader_may_stand_still_past_what_they_hold(behind: Behind) -> None:
    room, _ = behind
    fire = Fire(room)
    assert_clean(fire.run(leader_stands_still(room), worker_stands_still(room, fire)))


def test_connections_may_be_half_open(behind: Behind) -> None:
    assert_clean(Fire(behind[0]).run(goes_silent(*behind)))
