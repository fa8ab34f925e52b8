"""Services are killed and started anew, again and again, while a client works: each task ends, once."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from bus.ports import BEGINNING, BusError, Entry
from bus.rabbit import RabbitBus
from engine.conformance.samples import sample_vm
from schema.fault import XenopsError
from schema.objects.task import Pending, Task
from schema.records import Elected, Finished, Leased
from xenops.client import Client

from conftest import until_served

if TYPE_CHECKING:
    from conftest import Stack

PATIENCE_S = 90.0
LOAD_S = 8.0


@pytest.fixture(name="client")
def connect(stack: Stack) -> Iterator[Client]:
    bus = RabbitBus(stack.node.url, "load")
    bus.ready(PATIENCE_S)
    client = Client(bus, stack.instance, dbg="load", timeout_s=15.0)
    until_served(client)  # the test before may have killed somebody last
    yield client
    bus.close()


def requests(client: Client, vm: str) -> list[Callable[[], str]]:
    """What a client may ask of a VM, in whatever state it is."""
    return [
        lambda: client.vm.start(vm),
        lambda: client.vm.unpause(vm),
        lambda: client.vm.shutdown(vm, None),
        lambda: client.vm.shutdown(vm, 1.0),
        lambda: client.vm.reboot(vm, 1.0),
        lambda: client.vm.delay(vm, 0.1),
    ]


def work(client: Client, chance: random.Random, kill: Callable[[], None]) -> set[str]:
    """Submit tasks, cancel some, and have services killed; answers the tasks that were accepted."""
    vms = [f"vm-{uuid.uuid4()}" for _ in range(10)]
    for vm in vms:
        client.vm.add(sample_vm(vm))
    tasks: list[str] = []
    end, next_kill = time.monotonic() + LOAD_S, 0.0
    while time.monotonic() < end:
        try:
            tasks.append(chance.choice(requests(client, chance.choice(vms)))())
            if chance.random() < 0.1:
                client.task.cancel(chance.choice(tasks))
        except (BusError, XenopsError):
            pass  # whoever was to answer has just died: the next request goes to its successor
        if time.monotonic() > next_kill:
            next_kill = time.monotonic() + chance.uniform(1.0, 2.0)
            kill()
    return set(tasks)


def all_tasks(client: Client) -> tuple[Task, ...]:
    """The tasks once none is pending."""
    attempts, end = threading.Event(), time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            tasks = client.task.list()
        except (BusError, XenopsError):
            tasks = ()
        if tasks and not any(isinstance(task.state, Pending) for task in tasks):
            return tasks
        attempts.wait(0.2)
    pytest.fail("some tasks did not end")


def entries(stack: Stack) -> list[Entry]:
    """The whole log."""
    read: list[Entry] = []
    live = threading.Event()
    bus = RabbitBus(stack.node.url, "reader")
    bus.tail(stack.instance, BEGINNING, read.append, live.set)
    assert live.wait(PATIENCE_S)
    bus.close()
    return read


def assert_one_lease_at_a_time(log: list[Entry]) -> None:
    term = -1
    leased: dict[str, int] = {}
    ended: set[int] = set()
    for entry in log:
        match entry.record:
            case Elected():
                term = entry.offset
            case Leased() as lease if lease.term == term:
                assert lease.vm not in leased
                assert lease.task not in ended
                leased[lease.vm] = lease.task
            case Finished() as finished:
                ended.add(finished.task)
                if leased.get(finished.vm) == finished.task:
                    del leased[finished.vm]
            case _:
                pass
    assert leased == {}


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_killed_every_accepted_task_ends_and_no_vm_has_two_leases(
    stack: Stack, client: Client, seed: int
) -> None:
    chance = random.Random(seed)
    killed = ("redirector", "worker_sim", "eventhub", "redirector")
    accepted = work(client, chance, lambda: stack.kill(chance.choice(killed)))
    assert accepted <= {task.id for task in all_tasks(client)}
    assert_one_lease_at_a_time(entries(stack))
    assert stack.dead() == []
    assert "Traceback" not in stack.words()
