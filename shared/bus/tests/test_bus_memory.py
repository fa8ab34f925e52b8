import logging
import threading
from collections.abc import Iterator

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, BusUnavailableError, Entry, Request, RequestTimeoutError
from schema.ids import InstanceName, Offset, VmId
from schema.records import LaneHeld

INSTANCE = InstanceName("i")
PATIENCE_S = 120.0


@pytest.fixture(name="broker")
def make_broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture(name="bus")
def make_bus(broker: MemoryBroker) -> Iterator[MemoryBus]:
    bus = MemoryBus(broker)
    yield bus
    bus.close()


def held(number: int) -> LaneHeld:
    return LaneHeld(vm=VmId(f"vm{number}"))


def read(bus: MemoryBus, start: Offset = BEGINNING) -> list[Offset]:
    seen: list[Offset] = []
    live = threading.Event()
    bus.tail(INSTANCE, start, lambda entry: seen.append(entry.offset), live.set)
    assert live.wait(PATIENCE_S)
    return seen


def test_a_reader_gets_what_was_there_and_what_comes(bus: MemoryBus) -> None:
    bus.append(INSTANCE, held(0), held(1)).result(PATIENCE_S)
    seen = read(bus)
    assert seen == [0, 1]
    bus.append(INSTANCE, held(2))
    bus.ready(PATIENCE_S)
    assert seen == [0, 1, 2]
    assert read(bus, Offset(2)) == [2]


def test_a_reader_from_a_time_on_gets_what_came_since_each_once(
    broker: MemoryBroker, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now in (1.0, 2.0, 3.0):
        monkeypatch.setattr("bus.memory.time.time", lambda now=now: now)
        bus.append(INSTANCE, held(0))
    broker.append(INSTANCE, broker.log(INSTANCE)[2:])
    for at, expected in ((0.0, [0, 1, 2]), (2.0, [1, 2]), (9.0, [])):
        seen: list[Offset] = []
        live = threading.Event()
        bus.tail_since(INSTANCE, at, lambda entry, seen=seen: seen.append(entry.offset), live.set)  # type: ignore[misc]
        assert live.wait(PATIENCE_S)
        assert seen == expected


def test_a_repeated_envelope_counts_once(broker: MemoryBroker, bus: MemoryBus) -> None:
    bus.append(INSTANCE, held(0), held(1))
    broker.append(INSTANCE, broker.log(INSTANCE))
    assert read(bus) == [0, 1]


def test_a_bug_in_a_handler_costs_one_entry(bus: MemoryBus, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def stumble(entry: Entry) -> None:
        if entry.offset == 0:
            raise ValueError("a bug")
        seen.append(entry.offset)

    with caplog.at_level(logging.ERROR):
        bus.tail(INSTANCE, BEGINNING, stumble, lambda: None)
        bus.append(INSTANCE, held(0), held(1))
        bus.ready(PATIENCE_S)
        bus.ready(PATIENCE_S)
    assert seen == [1]
    assert "a handler failed" in caplog.text


def test_a_call_is_answered_and_a_second_answer_is_dropped(broker: MemoryBroker, bus: MemoryBus) -> None:
    server = MemoryBus(broker, "server")

    def answer(request: Request) -> None:
        for _ in range(2):
            server.send(request.reply_to or "", Request(request.body * 2, None, request.correlation_id))

    server.serve("q", answer)
    assert bus.call("q", b"x", PATIENCE_S) == b"xx"
    server.close()


def test_servers_of_a_queue_take_turns(broker: MemoryBroker, bus: MemoryBus) -> None:
    took: list[int] = []
    for number in range(2):
        bus.serve("q", lambda _, number=number: took.append(number))  # type: ignore[misc]
    for _ in range(4):
        bus.send("q", Request(b""))
    bus.ready(PATIENCE_S)
    assert took == [0, 1, 0, 1]
    assert "q" in broker.queues()


def test_a_call_that_nobody_serves_or_answers_says_so(bus: MemoryBus) -> None:
    with pytest.raises(BusUnavailableError, match="nobody serves the queue q"):
        bus.call("q", b"", PATIENCE_S)
    bus.serve("q", lambda _: None)
    with pytest.raises(RequestTimeoutError, match="no answer from the queue q"):
        bus.call("q", b"", 0.01)


def test_a_message_that_reaches_nobody_comes_back(bus: MemoryBus) -> None:
    back: list[str] = []
    bus.undeliverable(lambda queue, _: back.append(queue))
    bus.send("nowhere", Request(b""))
    bus.ready(PATIENCE_S)
    assert back == ["nowhere"]


def test_an_inbox_is_ours_alone(bus: MemoryBus) -> None:
    got: list[bytes] = []
    bus.send(bus.inbox(lambda message: got.append(message.body)), Request(b"x"))
    bus.ready(PATIENCE_S)
    assert got == [b"x"]


def test_what_a_closed_bus_still_does_keeps_nobody_from_leading_and_serving(broker: MemoryBroker) -> None:
    gone, bus, leads = MemoryBus(broker), MemoryBus(broker), threading.Event()
    gone.close()
    gone.lead("leader", lambda _: None)
    gone.serve("served", lambda _: None)
    bus.lead("leader", lambda held: leads.set() if held else None)
    assert leads.wait(PATIENCE_S)
    assert "served" not in broker.queues()
    bus.close()


def test_leadership_passes_to_the_next_in_line(broker: MemoryBroker) -> None:
    buses = [MemoryBus(broker, str(number)) for number in range(3)]
    leads = [threading.Event() for _ in buses]
    for bus, event in zip(buses, leads, strict=True):
        bus.lead("q", lambda held, event=event: event.set() if held else None)  # type: ignore[misc]
    assert leads[0].wait(PATIENCE_S)
    buses[1].close()
    buses[0].close()
    assert leads[2].wait(PATIENCE_S)
    assert not leads[1].is_set()
    buses[2].close()


def test_a_timer_comes_again_and_again(bus: MemoryBus) -> None:
    counted = threading.Semaphore(0)
    bus.every(0.001, counted.release)
    assert all(counted.acquire(timeout=PATIENCE_S) for _ in range(3))


def test_what_is_put_off_is_done_on_the_buss_own_thread(bus: MemoryBus) -> None:
    threads: list[int] = []
    done = threading.Event()
    bus.call_soon(lambda: threads.append(threading.get_ident()))

    def again() -> None:
        threads.append(threading.get_ident())
        bus.later(0.0, done.set)

    bus.later(0.001, again)
    assert done.wait(PATIENCE_S)
    assert len(threads) == 2
    assert len(set(threads)) == 1


def test_a_closed_bus_takes_nothing_and_closes_once(broker: MemoryBroker) -> None:
    bus = MemoryBus(broker)
    bus.close()
    bus.close()
    with pytest.raises(BusUnavailableError, match="closed"):
        bus.append(INSTANCE, held(0)).result(PATIENCE_S)
    with pytest.raises(BusUnavailableError, match="busy"):
        bus.ready(0.01)


def test_a_bus_may_be_closed_by_its_own_handler(bus: MemoryBus) -> None:
    closed = threading.Event()
    bus.call_soon(lambda: (bus.close(), closed.set()))  # type: ignore[func-returns-value, arg-type]
    assert closed.wait(PATIENCE_S)
