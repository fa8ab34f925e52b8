"""Requests to a worker's control queue."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.ports import Request
from bus.topology import control_queue
from schema import rpc
from schema.fault import XenopsError
from worker_in_hand import INSTANCE, PATIENCE_S, VM, World


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_requests_of_the_control_queue_are_answered(world: World) -> None:
    body = rpc.encode_request("VM.exists", debug_info="d", id=VM)
    answer = world.leader.call(control_queue(INSTANCE), body, PATIENCE_S)
    assert rpc.decode_response("VM.exists", answer) is True
    world.leader.send(control_queue(INSTANCE), Request(b"nobody waits"))


def ask(world: World, method: str, **params: Any) -> object:
    request = rpc.encode_request(method, debug_info="d", **params)
    return rpc.decode_response(method, world.leader.call(control_queue(INSTANCE), request, PATIENCE_S))


def test_more_requests_than_can_wait_are_refused_with_words(world: World) -> None:
    world.service._control_queue._places = threading.Semaphore(0)
    with pytest.raises(XenopsError, match="requests wait for this worker"):
        ask(world, "HOST.get_console_data")
    assert ask(world, "VM.exists", id=VM) is True  # needs no place: it does not wait


def test_where_reads_may_take_a_while_they_have_threads(world: World) -> None:
    threads: list[str] = []
    exists = world.store.exists

    def watched(vm: str) -> bool:
        threads.append(threading.current_thread().name)
        return exists(vm)

    world.store.exists = watched  # type: ignore[method-assign]
    ask(world, "VM.exists", id=VM)
    world.backend.reads_wait = True
    ask(world, "VM.exists", id=VM)
    assert threads == ["bus-worker", "control_0"]


def test_a_worker_that_is_being_stopped_says_so_to_who_would_have_to_wait(world: World) -> None:
    world.service.stop()
    with pytest.raises(XenopsError, match="is being stopped"):
        ask(world, "HOST.get_console_data")
    assert ask(world, "VM.exists", id=VM) is True
