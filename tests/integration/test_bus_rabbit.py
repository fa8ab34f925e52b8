import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from bus.fold import FoldOf
from bus.loop import Loop
from bus.ports import (
    BEGINNING,
    BusBlockedError,
    BusRefusedError,
    BusUnavailableError,
    Entry,
    Request,
    RequestTimeoutError,
)
from bus.rabbit import RabbitBus, connection
from bus.rabbit.address import nodes_of
from bus.rabbit.connection import ChannelOwner, Connection
from bus.rabbit.snapshot_store import RabbitSnapshotStore
from bus.rabbit.stream import Logs
from bus.retention import USUAL, Retention
from container_node import Node, node_for_tests
from eventually import eventually
from pika.channel import Channel
from schema.ids import InstanceName, VmId
from schema.records import LaneHeld
from typing_extensions import override
from xenops.client import connect_bus

PATIENCE_S = 120.0


@pytest.fixture(name="node", scope="module")
def run_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory: Path = tmp_path_factory.mktemp("broker")
    with node_for_tests(directory) as node:
        yield node


@pytest.fixture(name="bus")
def connect(node: Node, instance: InstanceName) -> Iterator[RabbitBus]:
    bus = RabbitBus(node.url, "test", (instance,))
    bus.ready(PATIENCE_S)
    yield bus
    bus.close()


@pytest.fixture(name="instance")
def name_instance(request: pytest.FixtureRequest) -> InstanceName:
    return InstanceName(f"test.{abs(hash(request.node.name))}")


def held(number: int) -> LaneHeld:
    return LaneHeld(vm=VmId(f"vm-{number}"))


class Log:
    """What one reader has seen."""

    def __init__(self, bus: RabbitBus, instance: InstanceName, since: float | None = None) -> None:
        self.seen: list[Entry] = []
        self.live = threading.Event()
        self._more = threading.Condition()
        if since is None:
            bus.tail(instance, BEGINNING, self._on_entry, self.live.set)
        else:
            bus.tail_since(instance, since, self._on_entry, self.live.set)

    def _on_entry(self, entry: Entry) -> None:
        with self._more:
            self.seen.append(entry)
            self._more.notify_all()

    def wait_for(self, count: int) -> list[str]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.seen) >= count, PATIENCE_S), len(self.seen)
            return [entry.record.vm for entry in self.seen if isinstance(entry.record, LaneHeld)]

    def wait_for_entry(self) -> Entry:
        self.wait_for(1)
        return self.seen[0]


def test_records_are_read_in_order_with_growing_offsets(bus: RabbitBus, instance: InstanceName) -> None:
    for number in range(100):
        bus.append(instance, held(number))
    bus.append(instance, held(100)).result(PATIENCE_S)
    log = Log(bus, instance)
    assert log.wait_for(101) == [f"vm-{number}" for number in range(101)]
    offsets = [entry.offset for entry in log.seen]
    assert offsets == sorted(set(offsets))


def test_a_reader_is_live_once_it_has_all_that_was_confirmed(bus: RabbitBus, instance: InstanceName) -> None:
    bus.append(instance, *(held(number) for number in range(50))).result(PATIENCE_S)
    log = Log(bus, instance)
    assert log.live.wait(PATIENCE_S)
    assert len(log.seen) == 50


def test_a_killed_broker_loses_and_repeats_nothing(
    node: Node, bus: RabbitBus, instance: InstanceName
) -> None:
    log = Log(bus, instance)
    node.stop()  # RabbitMQ forgets a stream that was made in the very last moments before a crash
    node.start()
    bus.ready(PATIENCE_S)
    futures = [bus.append(instance, held(number)) for number in range(500)]
    futures[0].result(PATIENCE_S)
    node.kill()
    futures += [bus.append(instance, held(number)) for number in range(500, 600)]
    node.start()
    for future in futures:
        future.result(PATIENCE_S)
    assert log.wait_for(600) == [f"vm-{number}" for number in range(600)]
    other = Log(bus, instance)
    assert other.wait_for(600) == [f"vm-{number}" for number in range(600)]


def test_what_was_read_is_not_certain_while_the_broker_is_away(
    node: Node, bus: RabbitBus, instance: InstanceName
) -> None:
    def check(*, sure: bool) -> None:
        answer: Future[bool] = Future()
        bus.call_soon(lambda: answer.set_result(bus.is_sure_of(instance)))
        assert answer.result(PATIENCE_S) is sure

    log = Log(bus, instance)
    bus.append(instance, held(0)).result(PATIENCE_S)
    log.wait_for(1)
    eventually(lambda: check(sure=True))
    node.stop()
    eventually(lambda: check(sure=False))
    node.start()
    eventually(lambda: check(sure=True))


def test_a_reader_from_a_time_on_is_given_no_older_record_and_what_comes(
    bus: RabbitBus, instance: InstanceName
) -> None:
    bus.append(instance, held(0)).result(PATIENCE_S)
    while time.time() < (
        since := int(Log(bus, instance).wait_for_entry().at) + 1
    ):  # the broker counts in seconds
        threading.Event().wait(0.05)
    log = Log(bus, instance, since)
    assert log.live.wait(PATIENCE_S)
    assert log.seen == []
    bus.append(instance, held(1)).result(PATIENCE_S)
    assert log.wait_for(1) == ["vm-1"]
    again = Log(bus, instance, since)
    assert again.wait_for(1) == ["vm-1"]
    assert Log(bus, instance, 0.0).wait_for(2) == ["vm-0", "vm-1"]


class Leaving(ChannelOwner):
    """Leaves its first channel while the log is still being put in place there, as a reader may have to."""

    def __init__(self, instance: InstanceName) -> None:
        super().__init__()
        self._instance = instance
        self.settled = 0

    @override
    def set_up(self, channel: Channel) -> None:
        def then() -> None:
            channel.basic_qos()
            self.mark_ready()

        self.settled += 1
        Logs(USUAL).declare(channel, self._instance, then)
        if self.settled == 1:
            channel.close()


def test_what_a_channel_is_told_while_it_closes_costs_no_connection(
    node: Node, instance: InstanceName
) -> None:
    loop, settled = Loop("test"), threading.Event()
    connection, leaving = Connection(node.url, "test", loop), Leaving(instance)
    connection.add(leaving)
    loop.soon(connection.open)
    loop.soon(lambda: loop.every(0.01, lambda: settled.set() if connection.is_ready() else None))
    loop.start()
    try:
        assert settled.wait(PATIENCE_S)
        assert leaving.settled == 2
        assert "Channel" not in connection.trouble
    finally:
        loop.soon(connection.close)
        assert loop.join(PATIENCE_S)


def test_a_request_is_answered(bus: RabbitBus) -> None:
    def answer(request: Request) -> None:
        bus.send(request.reply_to or "", Request(request.body + b"!", None, request.correlation_id))

    bus.serve("test.echo", answer)
    bus.ready(PATIENCE_S)
    assert bus.call("test.echo", b"hello", PATIENCE_S) == b"hello!"


def test_a_queue_that_is_gone_under_its_server_is_served_again(node: Node, bus: RabbitBus) -> None:
    """As with the node of a cluster that it was on, which is not the one that its other servers are at."""
    served = Served(bus, "test.gone")
    node.ctl("delete_queue", "test.gone")
    assert eventually(served.ask) == b"answer"


class Served:
    """A queue, and who asks there."""

    def __init__(self, bus: RabbitBus, queue: str) -> None:
        self._bus, self._queue = bus, queue
        bus.serve(queue, self._answer)
        bus.ready(PATIENCE_S)
        assert self.ask() == b"answer"

    def _answer(self, request: Request) -> None:
        self._bus.send(request.reply_to or "", Request(b"answer", None, request.correlation_id))

    def ask(self) -> bytes:
        return self._bus.call(self._queue, b"", PATIENCE_S)


def test_a_log_that_nobody_makes_is_told_of_before_long(
    node: Node, instance: InstanceName, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "MISSING_TOLD", 2)
    bus = RabbitBus(node.url, "test", (instance,), makes_logs=None)
    Log(bus, instance)
    eventually(lambda: is_said(caplog, f"refuses: NOT_FOUND - no queue 'xenops.log.{instance}'"))
    bus.close()


def is_said(caplog: pytest.LogCaptureFixture, words: str) -> None:
    assert words in caplog.text


def test_a_request_that_nobody_serves_fails_at_once(bus: RabbitBus) -> None:
    with pytest.raises(BusUnavailableError, match=r"nobody serves the queue test\.nobody"):
        bus.call("test.nobody", b"", PATIENCE_S)


def test_a_request_that_nobody_answers_times_out(bus: RabbitBus) -> None:
    bus.serve("test.deaf", lambda _: None)
    bus.ready(PATIENCE_S)
    with pytest.raises(RequestTimeoutError, match=r"test\.deaf"):
        bus.call("test.deaf", b"", 0.2)


def test_leadership_passes_when_the_leader_goes(node: Node, bus: RabbitBus) -> None:
    first, second = threading.Event(), threading.Event()
    leader = RabbitBus(node.url, "leader")
    leader.lead("test.leader", lambda leads: first.set() if leads else None)
    assert first.wait(PATIENCE_S)
    bus.lead("test.leader", lambda leads: second.set() if leads else None)
    bus.ready(PATIENCE_S)
    assert not second.is_set()
    leader.close()
    assert second.wait(PATIENCE_S)


def test_a_broker_out_of_memory_is_named_and_nothing_accepted_is_lost(
    node: Node, bus: RabbitBus, instance: InstanceName
) -> None:
    bus.append(instance, held(0)).result(PATIENCE_S)
    node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    accepted = 1
    try:
        refused = None
        while refused is None:
            future = bus.append(instance, held(accepted))
            refused = future.exception(0) if future.done() else None
            accepted += refused is None
            bus.call_soon(lambda: None)
        assert isinstance(refused, BusBlockedError)
    finally:
        node.ctl("set_vm_memory_high_watermark", "0.4")
    assert Log(bus, instance).wait_for(accepted) == [f"vm-{number}" for number in range(accepted)]


def test_an_absent_broker_is_named_with_the_remedy() -> None:
    bus = RabbitBus("amqp://guest:guest@127.0.0.1:1/", "test")
    with pytest.raises(BusUnavailableError, match=r"no broker at 127\.0\.0\.1:1"):
        bus.ready(0.3)
    bus.close()


def test_a_user_whom_the_broker_does_not_know_is_told_so_and_not_tried_again(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"amqp://nobody:secret@{node.url.rpartition('@')[2]}"
    with pytest.raises(BusRefusedError, match="was reached, but it refuses this user and password"):
        connect_bus(url, "test", PATIENCE_S)
    assert [record.message for record in caplog.records if record.name == "xenops"] == []


def test_a_node_that_is_not_there_is_passed_over(node: Node, instance: InstanceName) -> None:
    """Also for what has connections of its own, as snapshots."""
    nobody = node.url.replace(f":{node.port}", ":1")
    bus = RabbitBus(f"{nobody}, {node.url}", "test", (instance,))
    folded = threading.Event()
    try:
        fold = FoldOf(lambda _: None, folded.set, lambda: iter(()), lambda _: None)
        bus.follow(instance, "test", fold)
        bus.append(instance, held(1)).result(PATIENCE_S)
        assert folded.wait(PATIENCE_S)
    finally:
        bus.close()


def test_a_bus_ends_while_it_is_being_connected(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bus = RabbitBus(f"amqp://127.0.0.1:{silent.getsockname()[1]}/", "test")
        connected, _ = silent.accept()
        with connected:
            assert connected.recv(8) == b"AMQP\x00\x00\x09\x01"
            bus.close()
    assert not [record for record in caplog.records if record.exc_info]


def test_a_log_that_was_made_otherwise_is_used_as_it_is_and_that_is_said(
    bus: RabbitBus, node: Node, instance: InstanceName, caplog: pytest.LogCaptureFixture
) -> None:
    bus.append(instance, held(1)).result(PATIENCE_S)
    other = RabbitBus(node.url, "test", (instance,), makes_logs=Retention(1_000_000_000))
    try:
        other.append(instance, held(2)).result(PATIENCE_S)
        assert Log(other, instance).wait_for(2) == ["vm-1", "vm-2"]
    finally:
        other.close()
    said = [record.getMessage() for record in caplog.records if "was made with" in record.getMessage()]
    assert len(said) == 1
    assert "x-max-length-bytes 20000000000, and not with 1000000000" in said[0].replace("'", "")


def test_it_is_said_before_and_when_the_broker_drops_what_no_snapshot_covers(
    node: Node,
    instance: InstanceName,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bus.follow.LOOK_S", 0.0)
    bus = RabbitBus(node.url, "test", (instance,), makes_logs=Retention(bytes_max=200_000))
    has_read = threading.Semaphore(0)
    try:
        fold = FoldOf(lambda _: has_read.release(), lambda: None, lambda: iter(()), lambda _: None)
        bus.follow(instance, "late", fold)
        deadline = time.monotonic() + PATIENCE_S
        while "late has put away the log up to 0, and the broker has dropped" not in caplog.text:
            assert time.monotonic() < deadline, "nothing was said"
            bus.append(instance, *(held(number) for number in range(100))).result(PATIENCE_S)
            for _ in range(100):  # what is dropped must have been read: it is late with its snapshots only
                assert has_read.acquire(timeout=PATIENCE_S)
    finally:
        bus.close()


def test_a_reader_that_falls_behind_what_the_broker_drops_tells_so(
    node: Node, instance: InstanceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.rabbit.reader.MARKERS_MISSED_MAX", 3)
    monkeypatch.setattr("bus.rabbit.reader.IDLE_S", 0.5)
    lost, reads, goes_on = threading.Event(), threading.Event(), threading.Event()
    reasons: list[str] = []

    def on_lost(_: InstanceName, reason: str) -> None:
        reasons.append(reason)
        lost.set()

    def waits(_: Entry) -> None:
        reads.set()
        goes_on.wait(PATIENCE_S)

    writer = RabbitBus(node.url, "test", (instance,), makes_logs=Retention(bytes_max=200_000))
    append_many(writer, instance, 3_000)  # more than the broker sends a reader who does not answer
    reader = RabbitBus(node.url, "other", (instance,), on_lost=on_lost)
    try:
        reader.tail(instance, BEGINNING, waits, lambda: None)
        assert reads.wait(PATIENCE_S)  # who has read nothing yet has lost nothing
        store = RabbitSnapshotStore(lambda: nodes_of(node.url, "test"), instance, "other")
        while store.first() < 8_000:  # far behind all that the broker may have sent
            append_many(writer, instance, 3_000)
        goes_on.set()
        assert lost.wait(PATIENCE_S), "the reader stands still"
    finally:
        goes_on.set()
        reader.close()
        writer.close()
    assert "the broker has dropped more" in reasons[0]


def append_many(bus: RabbitBus, instance: InstanceName, count: int) -> None:
    for begin in range(0, count, 1_000):
        bus.append(instance, *(held(begin + number) for number in range(1_000))).result(PATIENCE_S)
