"""A service on the switch is asked over the bus: each answer comes to who asked."""

import json
import queue
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusError, Request
from bus.process import Settings as BusSettings
from bus.process import SettingsError
from bus.topology import storage_queue
from frontend.service import Service
from frontend.settings import Doors, Settings, from_environment
from http_client import PATIENCE_S, connected, post, response
from schema.ids import InstanceName

INSTANCE = InstanceName("i")
STORAGE = "org.xen.xapi.storage"


class Room:
    """A frontend whose switch has storage, and somebody on the bus who asks."""

    def __init__(self, directory: Path) -> None:
        broker = MemoryBroker()
        self.bus, self.asking = MemoryBus(broker), MemoryBus(broker)
        self.path = directory / "switch"
        doors = Doors((self.path,), storage=STORAGE)
        self.service = Service(self.bus, Settings(BusSettings((INSTANCE,)), doors))
        self.service.start()
        self.bus.ready(PATIENCE_S)
        self.answers: queue.Queue[bytes | BusError] = queue.Queue()

    def ask(self, body: bytes) -> None:
        self.asking.ask(storage_queue(INSTANCE), Request(body), PATIENCE_S, self.answers.put)

    def answer(self) -> bytes | BusError:
        return self.answers.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.service.stop()
        self.asking.close()
        self.bus.close()


@pytest.fixture(name="room")
def make_room() -> Iterator[Room]:
    with tempfile.TemporaryDirectory(prefix="xs-") as directory:
        room = Room(Path(directory))
        yield room
        room.close()


class Storage:
    """The service, as xapi's own."""

    def __init__(self, path: Path) -> None:
        self.line = connected(path)
        self.get("/login/storage")
        self.get(f"/persistent/{STORAGE}")

    def say(self, request: bytes) -> bytes:
        self.line.sendall(request)
        status, body = response(self.line)
        assert status == 200
        return body

    def get(self, target: str) -> None:
        self.say(f"GET {target} HTTP/1.1\r\n\r\n".encode())

    def requests(self) -> list[Any]:
        told = json.dumps({"timeout": PATIENCE_S, "queues": [STORAGE]}).encode()
        body = self.say(post(told, "/transfer"))
        return sorted(json.loads(body.decode("utf-8", "surrogateescape"))["messages"])

    def answer(self, request: Any, body: bytes) -> None:
        (name, number), message = request
        reply_to = message["kind"][1]
        self.say(post(body, f"/response/{reply_to}/{name}/{number}"))
        self.get(f"/ack/{name}/{number}")


def test_answers_come_to_who_asked_in_whatever_order(room: Room) -> None:
    room.ask(b"one")
    room.ask(b"tw\xff")
    storage = Storage(room.path)
    first = storage.requests()
    while len(first) < 2:
        first = storage.requests()
    assert [message["payload"] for _, message in first] == ["one", "tw\udcff"]
    storage.answer(first[1], b"did tw\xff")
    assert room.answer() == b"did tw\xff"
    storage.answer(first[0], b"did one")
    assert room.answer() == b"did one"
    room.ask(b"three")
    [third] = storage.requests()
    storage.answer(third, b"did three")
    assert room.answer() == b"did three"
    storage.line.close()


def test_an_answer_to_nobody_hurts_nobody(room: Room) -> None:
    room.bus.send(storage_queue(INSTANCE), Request(b"nobody waits"))
    storage = Storage(room.path)
    [(_, message)] = told = storage.requests()
    storage.answer(told[0], b"did")
    reply_to = message["kind"][1]
    storage.say(post(b"what?", f"/response/{reply_to}/{STORAGE}/99"))
    storage.say(post(b"who?", f"/request/{reply_to}/storage"))
    room.ask(b"one")
    [again] = storage.requests()
    storage.answer(again, b"did one")
    assert room.answer() == b"did one"
    storage.line.close()


def test_of_a_request_that_is_not_answered_nothing_is_kept_for_ever(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.switch.passage.ASKED_S", 0.0)
    storage = Storage(room.path)
    room.ask(b"one")
    [first] = storage.requests()
    storage.get(f"/ack/{STORAGE}/{first[0][1]}")
    room.ask(b"two")
    [second] = storage.requests()
    storage.answer(first, b"did one, late")
    storage.answer(second, b"did two")
    assert room.answer() == b"did two"
    storage.line.close()


def test_a_switch_that_takes_no_more_says_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.switch.queues.MESSAGES_MAX", 1)
    room.ask(b"one")
    room.ask(b"two")
    answer = room.answer()
    assert isinstance(answer, bytes)
    assert b"the message switch does not take a request to org.xen.xapi.storage" in answer


def test_a_storage_service_wants_a_switch() -> None:
    usual = {"XENOPS_BROKER": "amqp://b/", "XENOPS_INSTANCE": "i", "XENOPS_SWITCH_STORAGE": STORAGE}
    assert from_environment(usual | {"XENOPS_SWITCH": "/s"}).doors.storage == STORAGE
    with pytest.raises(SettingsError, match="set XENOPS_SWITCH, too"):
        from_environment(usual)
