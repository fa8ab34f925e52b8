"""The commands about lanes and workers, against a door that knows them."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from engine.conformance.samples import sample_vm
from fake_instance import FakeInstance
from fake_states import STATE
from schema.fault import XenopsError
from schema.objects.errors import InternalError
from schema.objects.lane import Lane, Lanes, LaneTasks, LeasedTask, WaitingTask, Worker
from xenops import Client
from xenops.command import main as command

Capture = pytest.CaptureFixture[str]

LEASED = LeasedTask(task="7", operation="VM_start", worker="w", since=0.0, token=8, parked=True)
LANE = Lane(vm="web1", held=False, blocked="task 7 runs", waiting=1, leased=LEASED)
HELD = Lane(vm="web2", held=True, blocked="the lane is held", waiting=1)
EMPTY = Lane(vm="", held=False, blocked="", waiting=0)
TASKS = (
    WaitingTask(task="9", operation="VM_reboot", since=0.0, priority=3, deadline=60.0),
    WaitingTask(task="8", operation="VM_pause", since=0.0, priority=0),
)


class Instance(FakeInstance):
    """An instance with one worker, which has one task less each time that it is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.leases = 1
        self.draining = False
        for method in ("LANE.hold", "LANE.release", "LANE.prioritise", "LANE.set_deadline"):
            self.answers[method] = lambda method=method, **params: self.done.append((method, params))
        self.answers["LANE.list"] = lambda limit: Lanes(total=2, waiting=3, lanes=(LANE, HELD)[:limit])
        self.answers["LANE.stat"] = self.lane
        self.answers["WORKER.list"] = self.workers
        self.answers["WORKER.drain"] = lambda worker: self.drain(worker, draining=True)
        self.answers["WORKER.undrain"] = lambda worker: self.drain(worker, draining=False)

    def drain(self, worker: str, *, draining: bool) -> None:
        assert worker == "w"
        self.draining = draining

    def lane(self, **vm: str) -> LaneTasks:
        return LaneTasks(lane=LANE if vm["id"] == "web1" else HELD, tasks=TASKS if vm["id"] == "web1" else ())

    def workers(self) -> tuple[Worker, ...]:
        leases = self.leases
        state = "up" if not self.draining else "draining" if leases else "drained"
        self.leases = max(0, leases - 1)
        return (Worker(worker="w", state=state, capacity=4, busy=leases, leases=leases, silent_s=0.5),)


@pytest.fixture
def instance() -> Instance:
    return Instance()


@pytest.fixture
def xenops(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr("xenops.command.lanes.DRAIN_LOOK_S", 0.0)
    return lambda *argv: command.main(argv, lambda _: Client(instance, "i"))


def test_lanes_are_shown_with_what_runs_and_what_is_in_the_way(
    xenops: Callable[..., int], capsys: Capture
) -> None:
    assert xenops("lanes") == 0
    shown = capsys.readouterr()
    assert "7 VM_start, parked" in shown.out
    assert re.search(r"^web2  1 .* held$", shown.out, re.MULTILINE)
    assert "tasks waiting: 3; lanes shown: 2 of 2" in shown.err
    assert xenops("--json", "lanes", "--limit", "1") == 0
    assert [lane["vm"] for lane in json.loads(capsys.readouterr().out)["lanes"]] == ["web1"]


def test_one_lane_is_shown_with_its_tasks_in_order(xenops: Callable[..., int], capsys: Capture) -> None:
    assert xenops("lanes", "web1") == 0
    out = capsys.readouterr().out
    assert out.index("VM_reboot") < out.index("VM_pause")
    assert "1970-01-01 00:01:00Z" in out
    assert xenops("lanes", "web2") == 0
    assert "DEADLINE" not in capsys.readouterr().out


def test_what_waits_is_held_released_moved_and_limited(
    xenops: Callable[..., int], instance: Instance
) -> None:
    assert xenops("lane-hold", "web1") == 0
    assert xenops("lane-release", "web1") == 0
    assert xenops("prioritise", "9", "-5") == 0
    assert xenops("deadline", "9", "2.5") == 0
    assert xenops("deadline", "9", "none") == 0
    assert instance.done == [
        ("LANE.hold", {"id": "web1"}),
        ("LANE.release", {"id": "web1"}),
        ("LANE.prioritise", {"task": "9", "priority": -5}),
        ("LANE.set_deadline", {"task": "9", "within": 2.5}),
        ("LANE.set_deadline", {"task": "9", "within": None}),
    ]


def test_what_was_asked_of_a_lane_is_said(xenops: Callable[..., int], capsys: Capture) -> None:
    for line, words in (
        ("lane-release web1", "tasks of web1 begin again"),
        ("prioritise 9 -5", "task 9 has the priority -5"),
        ("deadline 9 2.5", "task 9 fails unless it begins within 2.5 s"),
        ("deadline 9 none", "task 9 may wait for ever"),
    ):
        assert xenops(*line.split()) == 0
        assert capsys.readouterr() == ("", f"{words}\n")


def test_the_lane_of_a_vm_that_is_not_there_is_neither_shown_nor_held(
    xenops: Callable[..., int], instance: Instance, capsys: Capture
) -> None:
    instance.answers["LANE.stat"] = lambda **vm: LaneTasks(
        lane=EMPTY.model_copy(update={"vm": vm["id"]}), tasks=()
    )
    instance.answers["VM.exists"] = lambda **vm: vm["id"] == "one"
    instance.answers["VM.list"] = lambda: (
        (sample_vm("one").model_copy(update={"name": "web server"}), STATE),
    )
    for command_ in ("lanes", "lane-hold", "lane-release"):
        assert xenops(command_, "nope") == command.FAILED
        assert "there is no VM nope" in capsys.readouterr().err
    assert xenops("lane-hold", "web server") == 0
    assert instance.done == [("LANE.hold", {"id": "one"})], "a name is as good as an id"


def test_a_lane_is_held_also_while_no_worker_can_say_which_vms_there_are(
    xenops: Callable[..., int], instance: Instance
) -> None:
    instance.answers["LANE.stat"] = lambda **vm: LaneTasks(
        lane=EMPTY.model_copy(update={"vm": vm["id"]}), tasks=()
    )
    instance.answers["VM.exists"] = nobody
    assert xenops("lane-hold", "one") == 0
    assert instance.done == [("LANE.hold", {"id": "one"})]


def nobody(**_: str) -> bool:
    raise XenopsError(InternalError(message="no worker answers"))


def test_tasks_are_shown_with_vm_and_operation_as_far_as_lanes_say(
    xenops: Callable[..., int], instance: Instance, capsys: Capture
) -> None:
    for number in ("7", "8", "9", "10"):
        instance.task(number)
    assert xenops("tasks") == 0
    shown = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        ["TASK", "VM", "OPERATION"],
        ["10", "-", "-"],
        ["7", "web1", "VM_start"],
        ["8", "web1", "VM_pause"],
        ["9", "web1", "VM_reboot"],
    ]
    del instance.answers["LANE.stat"]
    instance.answers["LANE.list"] = nobody
    assert xenops("tasks") == 0
    assert "VM_start" not in capsys.readouterr().out
    assert xenops("--json", "tasks") == 0
    assert [task["id"] for task in json.loads(capsys.readouterr().out)] == ["10", "7", "8", "9"]


def test_a_drain_waits_until_nothing_is_under_way_unless_told_otherwise(
    xenops: Callable[..., int], instance: Instance, capsys: Capture
) -> None:
    assert xenops("worker-drain", "w") == 0
    shown = capsys.readouterr()
    assert "tasks under way there: 1" in shown.err
    assert "drained" in shown.out
    assert xenops("worker-undrain", "w") == 0
    assert " up " in capsys.readouterr().out
    instance.leases = 5
    assert xenops("worker-drain", "w", "--no-wait") == 0
    assert "draining" in capsys.readouterr().out
    assert xenops("workers") == 0
