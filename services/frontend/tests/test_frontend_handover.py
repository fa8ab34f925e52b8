import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from frontend.arrivals import Opening, read_handover
from migration_room import COMING, INSTANCE, PATIENCE_S, VM, World, read
from schema.migration import Channel, ChannelOpening
from schema.records import Submitted
from schema.wire import json
from schema.wire.value import Dict

PATH = f"/services/xenops/migrate/vm/{COMING}"
COOKIES = Dict([("final_id", VM), ("memory_limit", "1")])


def message(path: Any = PATH, cookie: Any = COOKIES, headers: Any = None) -> bytes:
    fields = [("m", "Put"), ("path", path), ("query", Dict()), ("cookie", cookie), ("body", [])]
    return json.dumps(Dict([*fields, ("additional_headers", headers or Dict())])).encode()


def test_a_request_of_xapi_opens_a_channel() -> None:
    for cookie in (COOKIES, [["final_id", VM], [" memory_limit", "1"], ["final_id", "other"], [1], "x"]):
        found = read_handover(message(f"{PATH}?a=b", cookie, Dict([("traceparent", "00-1")])), INSTANCE)
        cookies = {"final_id": VM, "memory_limit": "1"}
        assert found == Opening(INSTANCE, ChannelOpening(Channel.CONTROL, COMING), cookies, "00-1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "no request"),
        (message(path=7), "no request"),
        (message(path="/services/xenops"), "no channel"),
        (message(path=f"/other/migrate/vm/{COMING}"), "no channel"),
    ],
    ids=str,
)
def test_another_request_opens_none(content: bytes, words: str) -> None:
    refusal = read_handover(content, INSTANCE)
    assert isinstance(refusal, str)
    assert words in refusal


def test_only_a_pair_of_strings_is_a_cookie() -> None:
    found = read_handover(message(cookie=7), INSTANCE)
    assert isinstance(found, Opening)
    assert found.cookies == {}


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


class Xapi:
    """Somebody who has accepted a connection; `source` is its other end."""

    def __init__(self, world: World) -> None:
        self.source, self.accepted = socket.socketpair()
        self.control = socket.socket(socket.AF_UNIX)
        for end in (self.source, self.control):
            end.settimeout(PATIENCE_S)
        self.control.connect(str(world.handover))

    def hand_over(self, content: bytes, *more: int) -> None:
        socket.send_fds(self.control, [content], [self.accepted.fileno(), *more])

    def close(self) -> None:
        for end in (self.source, self.accepted, self.control):
            end.close()


@pytest.fixture(name="xapi")
def make_xapi(world: World) -> Iterator[Xapi]:
    xapi = Xapi(world)
    yield xapi
    xapi.close()


def files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def comes_down_to(before: int) -> bool:
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while files() > before and time.monotonic() < deadline:
        pause.wait(0.005)
    return files() <= before


def hear_out(control: socket.socket) -> None:
    with suppress(ConnectionResetError):  # it has left something unread
        while control.recv(1000):
            pass


def test_a_connection_handed_over_is_a_sources(world: World, xapi: Xapi) -> None:
    xapi.hand_over(message())
    xapi.source.sendall(b"early")
    worker = world.put(f"/rendezvous/{world.wait_for(Submitted).operation.ticket}")
    assert read(worker, 24) == b"HTTP/1.1 200 OK\r\n\r\nearly"
    worker.sendall(b"heard")
    assert read(xapi.source, 5) == b"heard"


def test_it_ends_for_all_who_have_it_and_then_xapi_is_told(world: World, xapi: Xapi) -> None:
    xapi.hand_over(message())
    worker = world.put(f"/rendezvous/{world.wait_for(Submitted).operation.ticket}")
    read(worker, 19)
    xapi.control.setblocking(False)  # noqa: FBT003  the socket module's own interface
    with pytest.raises(BlockingIOError):
        xapi.control.recv(1)
    xapi.control.settimeout(PATIENCE_S)
    worker.close()
    assert read(xapi.source, 1) == b""
    xapi.source.shutdown(socket.SHUT_WR)
    assert read(xapi.control, 1) == b""


def test_a_source_that_says_too_little_hears_why(xapi: Xapi) -> None:
    xapi.hand_over(message(cookie=Dict()))
    assert b"memory_limit" in read(xapi.source, 1000)
    assert read(xapi.control, 1) == b""


def garbage(xapi: Xapi) -> None:
    xapi.hand_over(b"rubbish")
    assert read(xapi.source, 12) == b"HTTP/1.1 404"


def too_much(xapi: Xapi) -> None:
    xapi.hand_over(message(cookie=Dict([("x", "x" * 20_000)])))
    assert b"no JSON" in read(xapi.source, 1000)


def no_file(xapi: Xapi) -> None:
    xapi.control.sendall(message())
    assert b"no connection came along" in read(xapi.control, 1000)


def no_message(xapi: Xapi) -> None:
    xapi.control.shutdown(socket.SHUT_WR)
    assert b"no connection came along" in read(xapi.control, 1000)


def files_that_are_none(xapi: Xapi) -> None:
    pipe = os.pipe()
    datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with socket.socket() as idle, datagrams[0], datagrams[1]:
        socket.send_fds(xapi.control, [b"rubbish"], [pipe[0], idle.fileno(), datagrams[0].fileno()])
    os.close(pipe[0])
    os.close(pipe[1])
    assert b"no connection came along" in read(xapi.control, 1000)


def several(xapi: Xapi) -> None:
    other = socket.socketpair()
    xapi.hand_over(b"rubbish", *(end.fileno() for end in other))
    assert read(xapi.source, 12) == b"HTTP/1.1 404"
    for end in other:
        end.close()


@pytest.mark.parametrize(
    "act", [garbage, too_much, no_file, no_message, files_that_are_none, several], ids=lambda a: a.__name__
)
def test_what_is_no_handover_is_refused_and_leaves_no_file_open(
    world: World, act: Callable[[Xapi], None]
) -> None:
    before = files()
    xapi = Xapi(world)
    act(xapi)
    hear_out(xapi.control)
    xapi.close()
    assert comes_down_to(before)


def test_a_handover_leaves_no_file_open_once_it_is_over(world: World) -> None:
    def hand_over_once() -> None:
        xapi = Xapi(world)
        xapi.hand_over(message(cookie=Dict()))
        hear_out(xapi.control)
        xapi.close()

    hand_over_once()  # the event loop opens a file of its own at its first connection's end
    before = files()
    for _ in range(5):
        hand_over_once()
    assert comes_down_to(before)


def test_who_stays_connected_does_not_outlive_the_service(world: World, xapi: Xapi) -> None:
    lasting = Xapi(world)
    lasting.hand_over(message())
    world.wait_for(Submitted)
    world.close()
    for end in (xapi.control, lasting.control, lasting.source):
        assert read(end, 1) == b""
    lasting.close()


def test_handovers_at_a_time_have_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.handover.CONTROLS_MAX", 1)
    first, second = Xapi(world), Xapi(world)
    assert second.control.recv(1) == b""
    first.hand_over(b"rubbish")
    assert read(first.source, 12) == b"HTTP/1.1 404"
    first.close()
    second.close()


def test_who_says_nothing_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.handover.MESSAGE_S", 0.01)
    silent = Xapi(world)
    assert silent.control.recv(1) == b""
    silent.close()
