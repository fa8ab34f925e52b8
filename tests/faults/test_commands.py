"""Commands and programs whose broker dies: it is started anew, or was one of three nodes, the leader."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bus.ports import BusError
from cluster import clustered, log_leader
from engine.conformance.samples import sample_vbd, sample_vm
from room import HERE, PATIENCE_S, Room, usual_parts
from schema.fault import XenopsError
from schema.ids import DeviceId
from stack.broker.node import PrivateNode
from typing_extensions import override
from xenops import Client, connect, wait_for_task

CALL_TIMEOUT_S = 720
"""So slow may a broker's start be here: half of it is waited for, and a sixth for services to be back."""

ROUND = (
    "list",
    "start {vm} --run",
    "stat {vm}",
    "pause {vm}",
    "lanes",
    "unpause {vm}",
    "vbd-unplug {vm} xvdb",
    "vbd-remove {vm} xvdb",
    "vbd-add {vm} xvdb --disk /disk --plug",
    "tasks",
    "reboot {vm}",
    "shutdown {vm}",
)
"""Looks, operations whose repeat would fail, changes of metadata: each alone, as a script has them."""


@dataclass(slots=True)
class Work(ABC):
    """A VM's life over and over; `failures`: what did not end well, though nothing of it should fail."""

    room: Room
    url: str
    vm: str
    failures: list[str] = field(default_factory=list)
    done: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _moved: threading.Condition = field(default_factory=threading.Condition)

    @abstractmethod
    def live(self) -> None:
        """One life; each step of it is `note`d."""

    def run(self) -> None:
        while not self._stop.is_set():
            self.live()

    def note(self, failure: str = "") -> None:
        """A step has ended."""
        with self._moved:
            self.failures += [failure] if failure else []
            self.done += 1
            self._moved.notify_all()

    def goes_on(self) -> None:
        """Wait until some more steps have ended, of which one at least began after now."""
        with self._moved:
            wanted = self.done + 2
            assert self._moved.wait_for(lambda: self.done >= wanted, 4 * PATIENCE_S)

    def stop(self) -> None:
        self._stop.set()


@dataclass(slots=True)
class Script(Work):
    """By the command."""

    @override
    def live(self) -> None:
        environment = os.environ | {"XENOPS_BROKER": self.url, "XENOPS_INSTANCE": HERE}
        for line in ROUND:
            words = line.format(vm=self.vm).split()
            command = [sys.executable, "-m", "xenops", *words, "--call-timeout", str(CALL_TIMEOUT_S)]
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            self.note(f"{line}: {ended.returncode}: {ended.stderr}" if ended.returncode else "")


@dataclass(slots=True)
class Program(Work):
    """By the client library, on one connection: calls are under way when the broker dies."""

    @override
    def run(self) -> None:
        with connect(self.url, HERE, timeout_s=CALL_TIMEOUT_S) as client:
            self._client = client
            Work.run(self)

    _client: Client = field(init=False)

    @override
    def live(self) -> None:
        vm, device = self._client.vm, DeviceId(self.vm, "xvdb")
        steps: tuple[Callable[[], str], ...] = (
            lambda: vm.start(self.vm),
            lambda: vm.unpause(self.vm),
            lambda: self._client.vbd.unplug(device),
            lambda: self._client.vbd.plug(device),
            lambda: vm.shutdown(self.vm),
        )
        for operate in steps:
            try:
                vm.stat(self.vm)
                wait_for_task(self._client, operate())
                self._client.vbd.stat(device)
            except (BusError, XenopsError) as error:
                self.note(repr(error))
            else:
                self.note()


@contextmanager
def at_work(works: tuple[Work, ...]) -> Iterator[tuple[Work, ...]]:
    """All of them, until they end."""
    for work in works:
        client = work.room.client()
        client.vm.add(sample_vm(work.vm))
        client.vbd.add(sample_vbd("xvdb", work.vm))
    threads = [threading.Thread(target=work.run) for work in works]
    for thread in threads:
        thread.start()
    try:
        for work in works:
            work.goes_on()
        yield works
    finally:
        for work in works:
            work.stop()
        for thread in threads:
            thread.join()


def all_go_on(works: tuple[Work, ...]) -> None:
    for work in works:
        work.goes_on()


def assert_no_failures(works: tuple[Work, ...]) -> None:
    assert [failure for work in works for failure in work.failures] == []


@pytest.fixture(name="room")
def open_room(place: Path, node: PrivateNode) -> Iterator[Room]:
    room = Room(place, node.url, usual_parts())
    try:
        room.open()
        yield room
    finally:
        room.close()


def test_they_get_through_a_broker_that_is_killed_and_started_anew(room: Room, node: PrivateNode) -> None:
    works = (Script(room, node.url, "vm0"), Program(room, node.url, "vm1"))
    with at_work(works):
        for _ in range(2):
            node.kill()
            node.start()
            all_go_on(works)
    assert_no_failures(works)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes networks for the nodes of a cluster")
def test_they_get_through_the_death_of_the_node_that_leads_the_log(place: Path) -> None:
    with clustered(place / "cluster") as (room, cluster):
        urls = [node.url for node in cluster.nodes]
        ways = [",".join(urls[number:] + urls[:number]) for number in range(len(urls))]
        programs = (Program(room, way, f"vm{number}") for number, way in enumerate(ways))
        works = (*programs, Script(room, ways[0], "script"))
        with at_work(works):
            for _ in range(2):
                node = cluster.nodes[log_leader(cluster)]
                node.kill()
                all_go_on(works)
                node.start()
                all_go_on(works)
        assert_no_failures(works)
