"""What a storage service hears of a disk's use, in order, and what becomes of it when nobody answers."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Request, UndeliveredError
from engine.conformance.samples import sample_vbd
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from engine.hosted.storage.content import LastingContent
from engine.hosted.storage.ports import Use
from engine.hosted.storage.service import StorageService
from schema.objects.disk import Vdi
from schema.objects.errors import InternalError, StorageBackendError
from schema.objects.vbd import VbdMode

QUEUE = "org.xen.xapi.storage"
USE = Use("sr/a/b", "7", "xvda")


class Room:
    """A service that notes what it is asked, and fails what it is told to fail."""

    def __init__(self) -> None:
        broker = MemoryBroker()
        self.asking, self.serving = MemoryBus(broker), MemoryBus(broker)
        self.storage = StorageService(self.asking, QUEUE)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.failing: set[str] = set()
        self.serving.serve(QUEUE, self._answer)
        self.serving.ready(10.0)

    def _answer(self, request: Request) -> None:
        call = json.loads(request.body)
        [params] = call["params"]
        assert params.pop("dbg")
        self.heard.append((call["method"], params))
        result = {"implementations": [["File", {"path": "/x"}]]} if call["method"] == "VDI.attach3" else None
        error = ["Backend_error", ["SR_X", []]] if call["method"] in self.failing else None
        body = json.dumps({"result": result, "error": error, "id": call["id"]}).encode()
        self.serving.send(request.reply_to or "", Request(body, correlation_id=request.correlation_id))

    def close(self) -> None:
        self.asking.close()
        self.serving.close()


@pytest.fixture(name="room")
def make_room() -> Iterator[Room]:
    room = Room()
    yield room
    room.close()


def test_a_use_is_said_as_the_original_says_it(room: Room) -> None:
    storage = room.storage
    storage.begin(USE.name, "7", persistent=False)
    assert storage.attach(USE) == Source(path="/x", format="raw")
    storage.activate(USE)
    storage.deactivate(USE)
    storage.detach(USE)
    storage.end(USE.name, None)
    disk = {"sr": "sr", "vdi": "a/b"}
    path = {"dp": "vbd/7/xvda", **disk, "vm": "7"}
    assert room.heard == [
        ("VDI.epoch_begin", {**disk, "vm": "7", "persistent": False}),
        ("VDI.attach3", {**path, "read_write": True}),
        ("VDI.activate3", path),
        ("VDI.deactivate", path),
        ("DP.destroy", {"dp": "vbd/7/xvda", "allow_leak": False}),
        ("VDI.epoch_end", {**disk, "vm": ""}),
    ]
    assert storage.keeps_epochs


def test_who_only_reads_says_so(room: Room) -> None:
    vbd, vdi = sample_vbd(mode=VbdMode.READ_ONLY), Vdi(name="sr/a")
    assert LastingContent(room.storage).open(vbd, vdi, "7") == Source(path="/x", format="raw")
    assert [method for method, _ in room.heard] == ["VDI.attach3", "VDI.activate_readonly"]
    assert room.heard[0][1]["read_write"] is False


def test_a_service_keeps_its_disks_epochs_itself(room: Room) -> None:
    content, vdi = LastingContent(room.storage), Vdi(name="sr/a")
    content.begin(vdi, "7", persistent=False)
    content.end(vdi, None)
    assert [method for method, _ in room.heard] == ["VDI.epoch_begin", "VDI.epoch_end"]


def test_what_a_service_refuses_is_told_but_to_a_detach(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.failing = {"VDI.deactivate", "DP.destroy"}
    told = StorageBackendError(code="SR_X", args=())
    assert refusal(lambda: room.storage.deactivate(USE)) == told
    content, vbd, vdi = LastingContent(room.storage), sample_vbd(), Vdi(name="sr/a")
    assert refusal(lambda: content.deactivate(vbd, vdi, "7")) == told
    content.deactivate(vbd, vdi, "7", force=True)
    with caplog.at_level(logging.WARNING):
        content.release(vbd, vdi, "7")
    assert "may be left" in caplog.text


def test_nobody_who_answers_is_an_error(room: Room) -> None:
    error = refusal(lambda: StorageService(room.asking, "nobody", unserved_s=0.0).attach(USE))
    assert isinstance(error, InternalError)
    assert "Cannot VDI.attach3 sr/a/b: " in error.message
    assert "XENOPS_STORAGE_QUEUE" in error.message


def test_a_service_that_is_away_for_a_moment_is_waited_for(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.asking, "call", AwayAtFirst(room.asking.call))
    assert room.storage.attach(USE) == Source(path="/x", format="raw")
    assert [method for method, _ in room.heard] == ["VDI.attach3"]


class AwayAtFirst:
    """Calls of which the first one reaches nobody."""

    def __init__(self, call: Callable[[str, bytes, float], bytes]) -> None:
        self._call = call
        self._is_there = False

    def __call__(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        if not self._is_there:
            self._is_there = True
            raise UndeliveredError("there is no connection to the broker")
        return self._call(queue, body, timeout_s)


@pytest.mark.parametrize("name", ["", "sr", "sr/", "/a"])
def test_a_name_that_is_none_is_refused(room: Room, name: str) -> None:
    error = refusal(lambda: room.storage.attach(Use(name, "1", "xvda")))
    assert isinstance(error, InternalError)
    assert "give SR/VDI" in error.message
    assert room.heard == []
