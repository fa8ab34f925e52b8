"""Services and broker are killed, restarted and blocked while clients work: nothing is lost or run twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from room import Room, usual_parts
from scenarios import (
    Fire,
    assert_clean,
    broker_restarts,
    disk_alarm,
    leader_dies,
    memory_alarm,
    restarts,
    rolls,
)
from stack.broker.node import PrivateNode


@pytest.fixture(name="room", scope="module")
def open_room(place: Path, node: PrivateNode) -> Iterator[Room]:
    """Two of each that may be several."""
    room = Room(place, node.url, usual_parts(copies=2))
    try:
        room.open()
        yield room
    finally:
        room.close()


def test_each_service_may_be_killed(room: Room) -> None:
    assert_clean(Fire(room).run(*(restarts(room, name) for name in room.parts)))


def test_leadership_passes_when_the_leader_is_killed(room: Room) -> None:
    """How soon is measured by `make faults`: here is too much else to do."""
    passages_s: list[float] = []
    assert_clean(Fire(room, lives=2).run(leader_dies(room, passages_s), leader_dies(room, passages_s)))
    assert len(passages_s) == 2


def test_all_may_be_restarted_one_after_the_other(room: Room) -> None:
    assert_clean(Fire(room).run(rolls(room)))


def test_the_broker_may_be_killed(room: Room, node: PrivateNode) -> None:
    assert_clean(Fire(room).run(broker_restarts(node, [])))


def test_the_broker_may_run_out_of_memory_and_of_disk(room: Room, node: PrivateNode) -> None:
    assert_clean(Fire(room).run(memory_alarm(room, node), disk_alarm(room, node)))
