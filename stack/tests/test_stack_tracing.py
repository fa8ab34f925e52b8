"""One trace through every service on a bus in memory, as an observer gets it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Request
from bus.process import Settings
from bus.topology import control_queue
from engine.conformance.samples import sample_vbd, sample_vm
from eventhub.service import build as build_eventhub
from frontend.service import Service as FrontendService
from frontend.service import build as build_frontend
from frontend.settings import Settings as FrontendSettings
from redirector.service import build as build_redirector
from schema.debug_info import DebugInfo, write_debug_info
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId
from schema.operations import VmCheckState
from schema.records import LaneHeld, LaneReleased, Submitted
from schema.rpc import encode_request
from worker_sim.service import build as build_worker
from worker_sim.settings import from_environment
from xenops.client import Client
from xenops.events import wait_for_task

INSTANCE = InstanceName("i")
PATIENCE_S = 120.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
Span = dict[str, Any]


class World:
    """All services, and a client whose work is traced."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hooks = directory / "hooks"
        told = {
            "XENOPS_BROKER": "amqp://x/",
            "XENOPS_INSTANCE": INSTANCE,
            "XENOPS_STATE_DIR": str(directory / "state"),
            "XENOPS_HOOKS_DIR": str(self.hooks),
        }
        self._broker = MemoryBroker()
        self._buses: list[MemoryBus] = []
        common = Settings((INSTANCE,))
        self._services = (
            build_redirector(self.bus(), common),
            build_eventhub(self.bus(), common),
            build_worker(self.bus(), from_environment(told)),
            build_frontend(self.bus(), FrontendSettings(common)),
        )
        for service in self._services:
            service.start()
        self.client = self.named("d")
        self.own = self.bus()

    def bus(self) -> MemoryBus:
        self._buses.append(MemoryBus(self._broker))
        return self._buses[-1]

    def named(self, dbg: str) -> Client:
        return Client(self.bus(), INSTANCE, dbg=dbg, timeout_s=PATIENCE_S)

    def observe(self) -> None:
        observer = self.client.observer
        observer.set_trace_log_dir(str(self.directory / "json"))
        observer.set_export_interval(0.1)
        observer.create("u", "n", (("a", "b"),), enabled=True)
        for bus in self._buses:
            bus.ready(PATIENCE_S)  # by then each has read of the observer

    @staticmethod
    def exists() -> bytes:
        return encode_request("VM.exists", debug_info="d", id="v1")

    def spans(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """All spans of the trace, once there are enough."""
        deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
        while not enough(found := [span for span in self.written() if span["traceId"] == TRACE]):
            assert time.monotonic() < deadline, found
            pause.wait(0.02)
        return found

    def written(self) -> list[Span]:
        files = (self.directory / "json").glob("*.ndjson")
        lines = [line for file in files for line in file.read_bytes().split(b"\n")[:-1]]
        return [span for line in lines for span in json.loads(line)]

    def stop(self) -> None:
        for service in reversed(self._services):
            service.stop()
        for bus in self._buses:
            bus.close()


@pytest.fixture(name="world")
def a_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.client.vm.add(sample_vm())
    world.client.vbd.add(sample_vbd())
    yield world
    world.stop()


def named(*names: str) -> Callable[[list[Span]], bool]:
    """All of them are there: each service writes its own when it likes."""
    return lambda spans: set(names) <= {span["name"] for span in spans}


def one(spans: list[Span], name: str) -> Span:
    [found] = [span for span in spans if span["name"] == name]
    return found


def test_a_start_is_one_tree_from_the_call_to_what_clients_are_told(world: World) -> None:
    script = world.hooks / "vm-pre-start" / "show"
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\necho "$TRACEPARENT" > {world.directory}/told\n')
    script.chmod(0o755)
    world.observe()
    traced = world.named(write_debug_info(DebugInfo("mine", PARENT, (("k", "v"),))))
    task = traced.vm.start("v1")
    wait_for_task(world.client, task, PATIENCE_S, destroy=False)
    assert world.client.task.stat(task).dbg == "mine"
    spans = world.spans(named("process VM.start", "lane", "VM_start", "tell"))
    door, lane, start, tell = (one(spans, name) for name in ("process VM.start", "lane", "VM_start", "tell"))
    assert door["parentId"] == PARENT.split("-")[2]
    assert (lane["parentId"], start["parentId"], tell["parentId"]) == (door["id"], lane["id"], start["id"])
    services = [
        span["localEndpoint"]["serviceName"].removeprefix("xenopsd-") for span in (door, lane, start, tell)
    ]
    assert services == ["frontend", "redirector", "worker", "eventhub"]
    atomics = [span["name"] for span in spans if span["parentId"] == start["id"]]
    assert {"VM_create", "VM_build", "VBD_plug", "VM_create_device_model"} <= set(atomics)
    hook = one(spans, "hook vm-pre-start/show")
    assert hook["parentId"] == one(spans, "VM_hook_script")["id"]
    assert (world.directory / "told").read_text() == f"00-{TRACE}-{hook['id']}-01\n"
    tags = start["tags"]
    assert (tags["xenops.task.id"], tags["xenops.vm.id"], tags["xenops.instance"]) == (task, "v1", "i")
    assert (tags["a"], tags["k"], tags["xenops.task.dbg"]) == ("b", "v", "mine")


def test_a_read_is_a_tree_and_its_failure_is_marked(world: World) -> None:
    world.observe()
    traced = world.named(f"mine\n{PARENT}")
    with pytest.raises(XenopsError):
        traced.vm.stat("nobody")
    with pytest.raises(XenopsError):
        traced.task.stat("nobody")
    doors = named("process VM.stat", "process Task.stat")
    spans = world.spans(lambda found: doors(found) and sum(span["name"] == "answer" for span in found) == 2)
    for method, service in (("VM.stat", "xenopsd-worker"), ("Task.stat", "xenopsd-eventhub")):
        door = one(spans, f"process {method}")
        [answer] = [span for span in spans if span.get("parentId") == door["id"]]
        assert answer["localEndpoint"]["serviceName"] == service
        assert answer["tags"]["error"] == "true"


def test_a_task_that_fails_says_so_in_its_trace(world: World) -> None:
    world.observe()
    traced = world.named(f"mine\n{PARENT}")
    with pytest.raises(XenopsError):
        wait_for_task(world.client, traced.vm.set_vcpus("v1", 99), PATIENCE_S)
    failed = one(world.spans(named("Atomic (VM_set_vcpus)")), "Atomic (VM_set_vcpus)")
    assert failed["tags"]["error"] == "true"
    assert failed["tags"]["exception.type"] == "XenopsError"
    assert one(world.spans(named("VM_set_vcpus")), "VM_set_vcpus")["parentId"] == failed["id"]


def test_a_merged_task_leads_to_the_one_that_does_its_work(world: World) -> None:
    world.observe()
    other = f"00-{'c' * 32}-{'d' * 16}-01"
    world.own.append(INSTANCE, LaneHeld(vm=VmId("v1")))
    for request_id, traceparent in (("r1", other), ("r2", PARENT)):
        check = Submitted(
            vm=VmId("v1"),
            operation=VmCheckState(vm=VmId("v1")),
            request_id=request_id,
            dbg="d",
            accept_by=time.time() + PATIENCE_S,
            traceparent=traceparent,
        )
        world.own.append(INSTANCE, check)
    merged = one(world.spans(named("merge")), "merge")
    assert merged["parentId"] == PARENT.split("-")[2]
    assert merged["tags"]["links"] == other
    world.own.append(INSTANCE, LaneReleased(vm=VmId("v1")))


def test_a_task_that_never_ran_says_why_in_its_trace(world: World) -> None:
    world.observe()
    world.own.append(INSTANCE, LaneHeld(vm=VmId("v1")))
    traced = world.named(f"mine\n{PARENT}")
    task = traced.vm.start("v1")
    world.client.task.cancel(task)
    lane = one(world.spans(named("lane", "tell")), "lane")
    assert lane["tags"]["error"] == "true"
    assert one(world.spans(named("tell")), "tell")["parentId"] == lane["id"]
    world.own.append(INSTANCE, LaneReleased(vm=VmId("v1")))


def test_a_traceparent_in_a_message_is_as_good_as_one_in_the_call(world: World) -> None:
    world.observe()
    heard = threading.Event()
    inbox = world.own.inbox(lambda _: heard.set())
    world.own.send(INSTANCE, Request(world.exists(), inbox, "1", PARENT))
    assert heard.wait(PATIENCE_S)
    assert world.spans(named("process VM.exists"))


def test_a_question_is_asked_under_the_span_of_who_asks(world: World) -> None:
    world.observe()
    heard = threading.Event()
    world.own.ask(INSTANCE, Request(world.exists(), traceparent=PARENT), PATIENCE_S, lambda _: heard.set())
    assert heard.wait(PATIENCE_S)
    spans = world.spans(named("process VM.exists", "answer"))
    assert one(spans, "answer")["parentId"] == one(spans, "process VM.exists")["id"]


def test_a_call_at_a_door_of_the_frontend_is_a_tree_too(world: World) -> None:
    world.observe()
    heard = threading.Event()
    body = encode_request("VM.exists", debug_info=f"mine\n{PARENT}", id="v1")
    frontend, bus = world._services[-1], world._buses[3]
    assert isinstance(frontend, FrontendService)
    bus.call_soon(lambda: frontend.ask(INSTANCE, Request(body), lambda _: heard.set()))
    assert heard.wait(PATIENCE_S)
    spans = world.spans(named("process VM.exists", "answer"))
    assert one(spans, "answer")["parentId"] == one(spans, "process VM.exists")["id"]


def test_a_request_without_a_trace_begins_one(world: World) -> None:
    world.observe()
    wait_for_task(world.client, world.client.vm.start("v1"), PATIENCE_S)
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not (roots := [span for span in world.written() if span["name"] == "process VM.start"]):
        assert time.monotonic() < deadline
        pause.wait(0.02)
    assert all("parentId" not in span for span in roots)


def test_a_disabled_observer_is_shown_nothing_more(world: World) -> None:
    world.observe()
    world.client.observer.set_enabled("u", enabled=False)
    for bus in world._buses:
        bus.ready(PATIENCE_S)
    traced = world.named(f"mine\n{PARENT}")
    wait_for_task(world.client, traced.vm.start("v1"), PATIENCE_S)
    assert [span for span in world.written() if span["traceId"] == TRACE] == []


def test_without_an_observer_a_trace_goes_through_unchanged(world: World) -> None:
    traced = world.named(f"mine\n{PARENT}")
    task = traced.vm.start("v1")
    wait_for_task(world.client, task, PATIENCE_S)
    log = [envelope.record for envelope in world._broker.log(INSTANCE)]
    carried = {record.kind: getattr(record, "traceparent", None) for record in log}
    assert {carried["Submitted"], carried["Leased"], carried["Finished"]} <= {PARENT}


def test_a_request_that_the_control_queue_gets_itself_is_traced_by_the_worker(world: World) -> None:
    world.observe()
    world.own.send(control_queue(INSTANCE), Request(world.exists(), traceparent=PARENT))
    assert world.spans(named("answer"))
