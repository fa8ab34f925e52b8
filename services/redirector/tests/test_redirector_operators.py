from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from bus.ports import Entry, Request
from bus.process import SettingsError
from redirector.core import Redirector
from redirector.effects import Answer, Append, Effect, Pass, Reply
from redirector.operators import PENDING_MAX, Operators
from redirector.settings import from_environment
from schema import rpc
from schema.fault import XenopsError
from schema.ids import LeaseToken, Offset, TaskId, VmId, WorkerName
from schema.log_records import Stranded
from schema.migration import departing_id
from schema.objects.errors import DoesNotExist, InternalError
from schema.objects.lane import Lanes, StrandedVm
from schema.operations import Operation, VmMigrate, VmStart
from schema.records import (
    DeadlineSet,
    Elected,
    Finished,
    Heartbeat,
    LaneReleased,
    LaneShared,
    Leased,
    Parked,
    Record,
    Reprioritised,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerUp,
)

VM, OTHER = VmId("vm"), VmId("other")
WORKER = WorkerName("w")
NOW = 1000.0


class World:
    """A log, its leader, and what operators ask it."""

    def __init__(self, capacity: int = 1) -> None:
        self.log: list[Record] = []
        self.core = Redirector("me")
        self.operators = Operators(self.core)
        self.replies: list[bytes] = []
        self.append(Elected(redirector="me"))
        if capacity:
            self.append(WorkerUp(worker=WORKER, epoch="1", capacity=capacity))

    def append(self, record: Record) -> TaskId:
        offset = Offset(len(self.log))
        self.log.append(record)
        entry = Entry(offset, NOW, record)
        self.perform([*self.core.on_entry(entry, NOW), *self.operators.on_entry(entry)])
        return TaskId(offset)

    def perform(self, effects: Sequence[Effect | Answer]) -> None:
        for effect in effects:
            if isinstance(effect, Append):
                self.append(effect.record)
            elif isinstance(effect, Reply):
                self.replies.append(effect.body)

    def submit(self, operation: Operation, vm: VmId = VM) -> TaskId:
        request_id = str(len(self.log))
        return self.append(
            Submitted(vm=vm, operation=operation, request_id=request_id, dbg="", accept_by=2e9)
        )

    def start(self, vm: VmId = VM) -> TaskId:
        return self.submit(VmStart(vm=vm), vm)

    def ask(self, method: str, **params: Any) -> Any:
        self.perform(self.operators.on_request(request(method, **params), NOW))
        return rpc.decode_response(method, self.replies.pop())

    def lane(self, vm: VmId = VM) -> Any:
        return self.ask("LANE.stat", id=vm).lane


def request(method: str, **params: Any) -> Request:
    return Request(rpc.encode_request(method, debug_info="op", **params), reply_to="inbox")


def test_a_lane_shows_what_runs_and_what_waits_in_which_order() -> None:
    world = World()
    running, first, second = world.start(), world.start(), world.start()
    world.ask("LANE.prioritise", task=str(second), priority=5)
    world.ask("LANE.set_deadline", task=str(first), within=60.0)
    found = world.ask("LANE.stat", id=VM)
    assert [(task.task, task.priority, task.deadline) for task in found.tasks] == [
        (str(second), 5, None),
        (str(first), 0, NOW + 60.0),
    ]
    assert found.lane.leased.task == str(running)
    assert (found.lane.leased.worker, found.lane.leased.parked) == (WORKER, False)
    assert found.lane.blocked == f"task {running} runs"
    assert Reprioritised(vm=VM, task=second, priority=5, by="op") in world.log
    assert DeadlineSet(vm=VM, task=first, deadline=NOW + 60.0, by="op") in world.log
    world.ask("LANE.set_deadline", task=str(first), within=None)
    assert world.ask("LANE.stat", id=VM).tasks[1].deadline is None


def test_what_a_worker_names_last_of_what_is_stranded_is_told_also_of_one_that_is_down() -> None:
    world = World()
    kept = Stranded(vm=departing_id(VM), of=VM, state="kept", where="there:80")
    world.append(Heartbeat(worker=WORKER, stranded=(kept,)))
    world.append(Heartbeat(worker=WorkerName("ghost"), stranded=(kept,)))
    world.append(WorkerDown(worker=WORKER, epoch="1"))
    [worker] = world.ask("WORKER.list")
    assert worker.stranded == (StrandedVm(id=kept.vm, own=VM, state="kept", where="there:80"),)
    world.append(Heartbeat(worker=WORKER))
    assert world.ask("WORKER.list")[0].stranded == ()


def test_a_list_of_lanes_is_as_long_as_was_asked_for_and_tells_how_many_there_are() -> None:
    world = World()
    for vm in ("a", "b", "c"):
        world.start(VmId(vm))
    lanes = world.ask("LANE.list", limit=2)
    assert isinstance(lanes, Lanes)
    assert (len(lanes.lanes), lanes.total, lanes.waiting) == (2, 3, 2)
    assert world.ask("LANE.list", limit=-1).lanes == ()


def test_a_held_lane_says_so_until_it_is_released_and_an_empty_one_is_blocked_by_nothing() -> None:
    world = World()
    world.ask("LANE.hold", id=VM)
    assert world.lane().blocked == ""
    task = world.start()
    assert (world.lane().held, world.lane().blocked) == (True, "the lane is held")
    world.ask("LANE.release", id=VM)
    assert world.lane().leased.task == str(task)


def test_what_keeps_a_task_waiting_is_named() -> None:
    world = World(capacity=0)
    world.start()
    assert world.lane().blocked == "no worker is free"
    world.append(WorkerUp(worker=WORKER, epoch="1", capacity=9))
    migrate = VmMigrate(
        vm=VmId("m"),
        vdi_map=(),
        vif_map=(),
        pci_map=(),
        url="",
        compress=False,
        verify_dest=False,
        localhost_migration=True,
    )
    moving, away = world.submit(migrate, VmId("m")), departing_id(VmId("m"))
    world.start(away)
    assert world.lane(away).blocked == f"task {moving} migrates the VM"
    for vm in ("g", "h"):
        world.append(LaneShared(vm=VmId(vm), shares=True))
    first = world.start(VmId("g"))
    world.start(VmId("h"))
    assert world.lane(VmId("h")).blocked == f"task {first} has the GPU"


def test_between_its_turn_and_its_lease_nothing_is_in_a_tasks_way() -> None:
    world = World(capacity=0)
    world.start()
    worker = WorkerUp(worker=WORKER, epoch="1", capacity=1)
    world.core.fold.on_entry(Entry(Offset(len(world.log)), NOW, worker), NOW)
    assert world.lane().blocked == ""


def test_a_worker_is_drained_when_all_that_it_had_has_ended() -> None:
    world = World()
    task = world.start()

    def state() -> tuple[str, int]:
        [worker] = world.ask("WORKER.list")
        return worker.state, worker.leases

    assert state() == ("up", 1)
    world.ask("WORKER.drain", worker=WORKER)
    assert state() == ("draining", 1)
    world.append(Finished(vm=VM, task=task, outcome=Succeeded()))
    assert state() == ("drained", 0)
    world.ask("WORKER.undrain", worker=WORKER)
    world.core.workers.suspect(world.core.workers.all()[0])
    assert state() == ("missed", 0)
    world.append(WorkerDown(worker=WORKER, epoch="1"))
    assert state() == ("down", 0)


def test_what_waits_for_a_time_is_shown_as_parked() -> None:
    world = World()
    task = world.start()
    token = next(LeaseToken(at) for at, record in enumerate(world.log) if isinstance(record, Leased))
    world.append(Parked(vm=VM, task=task, token=token, until=NOW))
    assert world.lane().leased.parked


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("LANE.hold", {"id": "../x"}, DoesNotExist(klass="VM", id="../x")),
        ("LANE.prioritise", {"task": "99", "priority": 1}, DoesNotExist(klass="waiting task", id="99")),
        ("LANE.set_deadline", {"task": "x", "within": 1.0}, DoesNotExist(klass="waiting task", id="x")),
        ("WORKER.drain", {"worker": "nobody"}, DoesNotExist(klass="worker", id="nobody")),
    ],
)
def test_what_is_not_there_is_named(method: str, params: Mapping[str, Any], error: DoesNotExist) -> None:
    with pytest.raises(XenopsError) as caught:
        World().ask(method, **params)
    assert caught.value.error == error


def test_no_text_but_its_id_names_a_waiting_task() -> None:
    world = World(capacity=0)
    text = f"0{world.start()}"
    with pytest.raises(XenopsError) as caught:
        world.ask("LANE.prioritise", task=text, priority=1)
    assert caught.value.error == DoesNotExist(klass="waiting task", id=text)


def test_limits_answer_with_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(capacity=0)
    task = world.start()
    refused(world, "LANE.prioritise", "from -1000 to 1000", task=str(task), priority=1001)
    monkeypatch.setattr("redirector.lanes.LANES_HELD_MAX", 0)
    refused(world, "LANE.hold", "release some", id=VM)
    for _ in range(PENDING_MAX):
        assert world.operators.on_request(request("LANE.release", id=VM), NOW) == [
            Append(LaneReleased(vm=VM, by="op"))
        ]
    refused(world, "LANE.release", "are being written already", id=VM)
    world.append(LaneReleased(vm=VM, by="op"))
    assert len(world.replies) == PENDING_MAX


def refused(world: World, method: str, words: str, **params: Any) -> None:
    with pytest.raises(XenopsError) as caught:
        world.ask(method, **params)
    assert isinstance(caught.value.error, InternalError)
    assert words in caught.value.error.message


def test_what_is_no_request_or_is_for_another_service_is_answered_in_words() -> None:
    world = World()
    [reply] = world.operators.on_request(Request(b"x"), NOW)
    assert isinstance(reply, Reply)
    refused(world, "QUARANTINE.list", "a routing bug")


def test_who_does_not_lead_passes_a_request_on_to_who_does() -> None:
    standby = Redirector("standby")
    operators = Operators(standby)
    asked = request("WORKER.list")
    for name in ("", "standby"):
        standby.fold.leader = name
        [reply] = operators.on_request(asked, NOW)
        assert isinstance(reply, Reply)
        assert b"no redirector leads at the moment" in reply.body
    standby.on_entry(Entry(Offset(0), NOW, Elected(redirector="leader")), NOW)
    assert operators.on_request(asked, NOW) == [Pass("leader", asked)]
    [reply] = operators.on_undeliverable("leader", asked)
    assert isinstance(reply, Reply)
    assert operators.on_undeliverable("somebody", asked) == []


ENVIRONMENT = {"XENOPS_BROKER": "amqp://b", "XENOPS_INSTANCE": "i"}


def test_limits_come_from_the_environment() -> None:
    settings = from_environment(
        {**ENVIRONMENT, "XENOPS_LANE_TASKS_MAX": "7", "XENOPS_WORKER_SILENCE_S": "2.5"}
    )
    assert (settings.broker, settings.instances) == ("amqp://b", ("i",))
    assert (settings.limits.lane_tasks_max, settings.limits.worker_silence_s) == (7, 2.5)
    assert settings.limits.instance_tasks_max == 1_000_000


@pytest.mark.parametrize("text", ["none", "0", "nan", "-1", "inf"])
def test_a_limit_that_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="XENOPS_INSTANCE_TASKS_MAX"):
        from_environment({**ENVIRONMENT, "XENOPS_INSTANCE_TASKS_MAX": text})
