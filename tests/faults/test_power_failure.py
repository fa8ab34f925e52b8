"""The broker's host loses its power: with a disk that is written through, no confirmed record is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.ports import BEGINNING, Entry
from bus.rabbit import RabbitBus
from power import Disk
from room import HERE, PATIENCE_S
from schema.ids import VmId
from schema.records import LaneHeld
from stack.broker.node import PrivateNode

RECORDS = 300


@pytest.fixture(name="disk")
def make_disk(place: Path) -> Iterator[Disk]:
    if os.geteuid():
        pytest.skip("only root mounts a disk of its own for the broker")
    disk = Disk(place)
    try:
        disk.make()
    except OSError as error:
        pytest.skip(f"no disk in a file can be mounted here: {error}")
    yield disk
    disk.unmake()


def test_a_power_failure_loses_no_record_of_a_log_that_is_written_through(disk: Disk) -> None:
    disk.write_through()
    assert set(lose_power(disk, RECORDS)) >= {f"vm-{number}" for number in range(RECORDS)}


def lose_power(disk: Disk, count: int) -> list[str]:
    """So many records are confirmed, the power fails at once; answers what is in the log afterwards."""
    with PrivateNode(disk.mount / "broker") as node:
        bus = RabbitBus(node.url, "test", (HERE,))
        bus.ready(PATIENCE_S)
        node.stop()  # a stream that was made just now, RabbitMQ itself may forget
        node.start()
        for number in range(count):
            bus.append(HERE, LaneHeld(vm=VmId(f"vm-{number}"))).result(PATIENCE_S)
        with disk.power_failure():
            node.kill()
        node.start()
        bus.close()
        return read_all(node)


def read_all(node: PrivateNode) -> list[str]:
    found: list[str] = []
    live = threading.Event()

    def on_entry(entry: Entry) -> None:
        assert isinstance(entry.record, LaneHeld)
        found.append(entry.record.vm)

    bus = RabbitBus(node.url, "reader", (HERE,))
    try:
        bus.tail(HERE, BEGINNING, on_entry, live.set)
        assert live.wait(PATIENCE_S)
    finally:
        bus.close()
    return found
