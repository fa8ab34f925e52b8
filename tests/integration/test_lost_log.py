"""A log is followed, put away, trimmed, deleted under a running stack: nothing is silent, nothing hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pika
import pytest
from bus.ports import BusError
from bus.rabbit import RabbitBus
from bus.topology import log_stream
from counting import Counting  # type: ignore[import-not-found]  # of the bus's unit tests
from engine.conformance.samples import sample_vbd, sample_vm
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId
from schema.objects.vm import PowerState
from schema.records import LaneHeld
from xenops.client import Client
from xenops.events import wait_for_task

if TYPE_CHECKING:
    from conftest import Stack

PATIENCE_S = 90.0
INSTANCE = InstanceName("test.followed")


@pytest.fixture(name="often", autouse=True)
def put_away_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.follow.RECORDS_MAX", 100)
    monkeypatch.setattr("bus.follow.RECORDS_MIN", 10)


class Lost:
    """What is said of a log that is lost."""

    def __init__(self) -> None:
        self.reason = ""
        self.said = threading.Event()

    def __call__(self, _instance: InstanceName, reason: str) -> None:
        self.reason = reason
        self.said.set()


@pytest.fixture(name="lost")
def make_lost() -> Lost:
    return Lost()


@pytest.fixture(name="bus")
def connect(stack: Stack, lost: Lost) -> Iterator[RabbitBus]:
    bus = RabbitBus(stack.node.url, "test", (INSTANCE,), on_lost=lost)
    bus.ready(PATIENCE_S)
    yield bus
    bus.close()


def delete(stack: Stack, stream: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(stack.node.url))
    connection.channel().queue_delete(stream)
    connection.close()


def hold(bus: RabbitBus, first: int, last: int) -> None:
    records = [LaneHeld(vm=VmId(f"vm{number}")) for number in range(first, last)]
    bus.append(INSTANCE, *records).result(PATIENCE_S)


def test_a_fold_is_put_away_taken_up_and_begins_anew_when_its_log_is_lost(
    stack: Stack, bus: RabbitBus, lost: Lost
) -> None:
    first = Counting()
    bus.follow(INSTANCE, "redirector", first)
    first.until()
    hold(bus, 0, 120)
    known = first.until(count=120, put_away=1)
    second = Counting()
    bus.follow(INSTANCE, "redirector", second)
    assert second.until(count=120) == known
    assert second.read[0] >= 50
    hold(bus, 120, 130)
    assert second.until(count=130) == [f"vm{number}" for number in range(130)]
    delete(stack, log_stream(INSTANCE))
    writer = RabbitBus(stack.node.url, "writer", (INSTANCE,))
    hold(writer, 130, 140)  # who only writes goes on
    assert lost.said.wait(PATIENCE_S)
    stale = bus.append(INSTANCE, LaneHeld(vm=VmId("stale")))  # of what the old log said
    third = Counting()
    bus.follow(INSTANCE, "redirector", third)
    assert third.until(count=10) == [f"vm{number}" for number in range(130, 140)]
    hold(writer, 140, 150)
    assert third.until(count=20) == [f"vm{number}" for number in range(130, 150)]
    assert not stale.done()
    writer.close()


@pytest.fixture(name="client")
def talk(stack: Stack) -> Iterator[Client]:
    bus = RabbitBus(stack.node.url, "talk")
    bus.ready(PATIENCE_S)
    yield Client(bus, stack.instance, dbg="talk", timeout_s=10.0)
    bus.close()


def insist(client: Client, vm: str) -> None:
    """Stop and start a VM, until it works: while services begin anew, requests fail in words."""
    deadline = time.monotonic() + PATIENCE_S
    attempts = threading.Event()
    while True:
        try:
            if client.vm.stat(vm)[1].power_state != PowerState.HALTED:
                wait_for_task(client, client.vm.shutdown(vm, None), PATIENCE_S)
            wait_for_task(client, client.vm.start(vm), PATIENCE_S)
        except (BusError, XenopsError):
            if time.monotonic() > deadline:
                raise
            attempts.wait(0.2)
        else:
            return


def test_a_log_that_is_deleted_under_a_stack_costs_no_vm_and_hangs_nobody(
    stack: Stack, client: Client
) -> None:
    vm = client.vm.add(sample_vm("kept"))
    client.vbd.add(sample_vbd(vm=vm))
    wait_for_task(client, client.vm.start(vm), PATIENCE_S)
    wait_for_task(client, client.vm.unpause(vm), PATIENCE_S)
    _, _, token = client.updates.get(None, 1)
    pids = {name: process.pid for name, process in stack.processes.items()}
    delete(stack, log_stream(stack.instance))
    deadline = time.monotonic() + PATIENCE_S
    newer = token
    pause = threading.Event()
    while newer and newer >> 40 == token >> 40:
        assert time.monotonic() < deadline, stack.words()
        try:
            _, _, newer = client.updates.get(token, 1)
        except (BusError, XenopsError):
            pause.wait(0.2)
    assert client.vm.stat(vm)[1].power_state == PowerState.RUNNING
    insist(client, vm)
    assert stack.dead() == []
    assert {name: process.pid for name, process in stack.processes.items()} == pids
    assert "begins anew" in stack.words()
    assert "Traceback" not in stack.words()
