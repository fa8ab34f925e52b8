"""A client whose instance nobody serves for a moment: at a service's restart, and at a broker's."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from bus.ports import BusError, Request, UndeliveredError, UnknownInstanceError
from bus.rabbit import RabbitBus
from bus.topology import door_queue
from container_node import Node, node_for_tests
from schema.ids import InstanceName
from schema.rpc import encode_result
from xenops.client import Client

INSTANCE = InstanceName("test.unserved")
PATIENCE_S = 120.0


class Told:
    """A client's way by a broker, which tells when something that was sent has reached nobody."""

    def __init__(self, bus: RabbitBus) -> None:
        self._bus = bus
        self.undelivered = threading.Event()
        self.tried = 0

    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        self.tried += 1
        try:
            return self._bus.call(queue, body, timeout_s)
        except UndeliveredError:
            self.undelivered.set()
            raise

    def knows(self, instance: InstanceName) -> bool:
        return self._bus.knows(instance)

    def close(self) -> None:
        self._bus.close()


class Server:
    """Whoever answers at the instance's door, and how often it was asked."""

    def __init__(self, url: str) -> None:
        self.asked = 0
        self._bus = RabbitBus(url, "server", (INSTANCE,))
        self._bus.serve(door_queue(INSTANCE), self._on_request)
        self._bus.ready(PATIENCE_S)

    def _on_request(self, request: Request) -> None:
        self.asked += 1
        body = encode_result("VM.start", str(self.asked))
        self._bus.send(request.reply_to or "", Request(body, correlation_id=request.correlation_id))

    def close(self) -> None:
        self._bus.close()


@pytest.fixture(name="node")
def run_node(tmp_path: Path) -> Iterator[Node]:
    with node_for_tests(tmp_path / "broker") as node:
        yield node


@pytest.fixture(name="door")
def connect(node: Node) -> Iterator[Told]:
    bus = RabbitBus(node.url, "client", makes_logs=None)
    bus.ready(PATIENCE_S)
    yield (door := Told(bus))
    door.close()


def started(door: Told, come_back: Callable[[], Server]) -> tuple[str, Server]:
    """What a start answers that is asked for while nobody serves, and who has come then."""
    with ThreadPoolExecutor(1) as pool:
        answer: Future[str] = pool.submit(lambda: Client(door, INSTANCE).vm.start("vm1"))
        assert door.undelivered.wait(PATIENCE_S)
        assert not answer.done()
        server = come_back()
        return answer.result(PATIENCE_S), server


def test_an_instance_that_never_was_is_told_so_at_once(door: Told) -> None:
    name = "test.misspelt"
    with pytest.raises(UnknownInstanceError, match=f"there is no instance '{name}', and never was"):
        Client(door, name).vm.list()
    assert door.tried == 1


def test_a_broker_that_is_away_may_have_any_instance(node: Node, door: Told) -> None:
    node.stop()
    assert door.knows(InstanceName("test.misspelt"))


def test_a_call_waits_for_a_service_that_is_started_anew_and_is_served_once(node: Node, door: Told) -> None:
    Server(node.url).close()
    answer, server = started(door, lambda: Server(node.url))
    assert (answer, server.asked) == ("1", 1)
    server.close()


def test_a_call_waits_for_a_broker_that_is_started_anew_and_is_served_once(
    node: Node, door: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenops.calling.UNSERVED_S", PATIENCE_S)  # so slow may a broker's start be here
    before = Server(node.url)
    node.stop()

    def come_back() -> Server:
        node.start()
        return before

    with pytest.raises(BusError):
        door.call(door_queue(INSTANCE), b"{}", 0.1)
    answer, server = started(door, come_back)
    assert (answer, server.asked) == ("1", 1)
    server.close()
