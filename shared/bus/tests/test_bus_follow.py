from collections.abc import Iterator

import pytest
from bus.memory import MemoryBroker, MemoryBus
from counting import PATIENCE_S, Counting
from schema.ids import InstanceName, VmId
from schema.records import LaneHeld

INSTANCE = InstanceName("i")


@pytest.fixture(name="bus")
def make_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBus]:
    monkeypatch.setattr("bus.follow.RECORDS_MAX", 100)
    monkeypatch.setattr("bus.follow.RECORDS_MIN", 10)
    bus = MemoryBus(MemoryBroker())
    yield bus
    bus.close()


def hold(bus: MemoryBus, first: int, last: int) -> None:
    for number in range(first, last):
        bus.append(INSTANCE, LaneHeld(vm=VmId(f"vm{number}"))).result(PATIENCE_S)


def test_a_fold_is_taken_up_where_it_was_put_away(bus: MemoryBus) -> None:
    first = Counting()
    bus.follow(INSTANCE, "s", first)
    first.until()
    hold(bus, 0, 120)
    known = first.until(count=120, put_away=1)
    second = Counting()
    bus.follow(INSTANCE, "s", second)
    assert second.until(count=120) == known
    assert second.read[0] >= 90
    hold(bus, 120, 130)
    assert second.until(count=130) == [f"vm{number}" for number in range(130)]


def test_a_snapshot_that_is_not_understood_is_left_alone(bus: MemoryBus) -> None:
    first = Counting()
    bus.follow(INSTANCE, "s", first)
    first.until()
    hold(bus, 0, 120)
    known = first.until(count=120, put_away=1)
    newer = Counting(understands=False)
    bus.follow(INSTANCE, "s", newer)
    assert newer.until(count=120) == known
    assert newer.read[0] == 0


def test_a_quiet_fold_is_put_away_after_a_while(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.follow.AGE_S", 0.0)
    fold = Counting()
    bus.follow(INSTANCE, "s", fold)
    fold.until()
    hold(bus, 0, 20)
    fold.until(count=20, put_away=1)
    assert len(fold.read) < 100
