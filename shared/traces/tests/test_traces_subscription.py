from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusBlockedError
from bus.topology import observers_log
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.records import ObserverChanged, ObserverCreated, Record
from traces import ObserverLog, Tracer, subscription
from typing_extensions import override

INSTANCE = InstanceName("i")
PATIENCE_S = 120.0


class Blocked(MemoryBus):
    """A bus whose broker takes no records."""

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(BusBlockedError(f"{len(records)} records for {instance}: the disk is full"))
        return future


def created(request_id: str = "r") -> ObserverCreated:
    return ObserverCreated(
        request_id=request_id, uuid="u", name="n", attributes=(), endpoints=("x",), enabled=True
    )


@pytest.fixture(name="broker")
def a_broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture(name="bus")
def a_bus(broker: MemoryBroker) -> Iterator[MemoryBus]:
    bus = MemoryBus(broker)
    yield bus
    bus.close()


def follow(bus: MemoryBus) -> tuple[ObserverLog, Tracer]:
    tracer = Tracer("s", INSTANCE)
    log = ObserverLog(bus, INSTANCE, tracer)
    log.start()
    return log, tracer


def test_every_service_follows_what_one_was_told(broker: MemoryBroker, bus: MemoryBus) -> None:
    log, tracer = follow(bus)
    other = MemoryBus(broker)
    _, others = follow(other)
    log.change(created())
    assert tracer.on
    other.ready(PATIENCE_S)
    assert others.on
    late = MemoryBus(broker)
    _, lates = follow(late)
    late.ready(PATIENCE_S)
    assert lates.on
    for one in (tracer, others, lates):
        one.close()
    other.close()
    late.close()


def test_the_log_of_observers_is_not_the_instances(broker: MemoryBroker, bus: MemoryBus) -> None:
    log, tracer = follow(bus)
    log.change(created())
    tracer.close()
    assert broker.log(INSTANCE) == []
    assert len(broker.log(observers_log(INSTANCE))) == 1


def test_a_change_that_cannot_be_is_refused(bus: MemoryBus) -> None:
    log, _ = follow(bus)
    with pytest.raises(XenopsError, match="does not exist"):
        log.change(ObserverChanged(request_id="r", uuid="u", enabled=True))


def test_a_change_that_the_broker_does_not_take_is_told(broker: MemoryBroker) -> None:
    bus = Blocked(broker)
    log, tracer = follow(bus)
    with pytest.raises(XenopsError, match="the disk is full"):
        log.change(created())
    assert not tracer.on
    bus.close()


def test_a_change_that_is_not_read_back_is_told(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "CHANGE_WAIT_S", 0.01)
    log = ObserverLog(bus, INSTANCE, Tracer("s", INSTANCE))
    with pytest.raises(XenopsError, match="not read back within"):
        log.change(created())
