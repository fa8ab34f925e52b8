from concurrent.futures import Future

import pytest
from bus.insist import Insistent
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusBlockedError, BusUnavailableError
from schema.ids import InstanceName, VmId
from schema.records import LaneHeld, Record
from typing_extensions import override

INSTANCE = InstanceName("i")


class Choosy(MemoryBus):
    """A bus that refuses while it is told to; its clock stands still."""

    trouble: Exception | None = None

    def __init__(self) -> None:
        self.taken: list[str] = []
        super().__init__(MemoryBroker(), "choosy")

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        future: Future[None] = Future()
        if self.trouble is not None:
            future.set_exception(self.trouble)
            return future
        self.taken += [record.vm for record in records if isinstance(record, LaneHeld)]
        return future


def held(number: int) -> LaneHeld:
    return LaneHeld(vm=VmId(str(number)))


def test_what_was_refused_is_offered_again_in_its_order() -> None:
    bus = Choosy()
    insistent = Insistent(bus, INSTANCE)
    insistent.append(held(0))
    bus.trouble = BusBlockedError("no memory")
    insistent.append(held(1))
    bus.trouble = None
    insistent.append(held(2))
    assert bus.taken == ["0"]
    insistent._offer_again()
    insistent.append(held(3))
    assert bus.taken == ["0", "1", "2", "3"]
    bus.close()


def test_a_mention_is_not_kept() -> None:
    bus = Choosy()
    insistent = Insistent(bus, INSTANCE)
    insistent.mention(held(0))
    bus.trouble = BusBlockedError("no memory")
    insistent.append(held(1))
    bus.trouble = None
    insistent.mention(held(2))
    insistent._offer_again()
    assert bus.taken == ["0", "1"]
    bus.close()


def test_a_bus_that_is_closed_is_not_asked_again() -> None:
    bus = Choosy()
    insistent = Insistent(bus, INSTANCE)
    bus.trouble = BusUnavailableError("closed")
    insistent.append(held(0))
    bus.trouble = None
    insistent._offer_again()
    assert bus.taken == []
    bus.close()


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("bus.insist.REFUSED_MAX", 1)
    bus = Choosy()
    insistent = Insistent(bus, INSTANCE)
    bus.trouble = BusBlockedError("no memory")
    insistent.append(held(0))
    insistent.append(held(1))
    assert "LaneHeld is lost" in caplog.text
    bus.trouble = None
    insistent._offer_again()
    assert bus.taken == ["0"]
    bus.close()


def test_who_appends_is_told_when_the_log_has_taken_it() -> None:
    bus, told = Choosy(), list[str]()
    insistent = Insistent(bus, INSTANCE)
    bus.trouble = BusBlockedError("no memory")
    insistent.append(held(0), lambda: told.append("refused first"))
    bus.trouble = BusUnavailableError("this process has ended")
    insistent.append(held(1), lambda: told.append("never"))
    assert told == []
    bus.close()


def test_what_the_broker_confirms_is_taken() -> None:
    bus, told = MemoryBus(MemoryBroker(), "plain"), list[str]()
    insistent = Insistent(bus, INSTANCE)
    insistent.append(held(0), lambda: told.append("taken"))
    bus.append(INSTANCE, held(1)).result()
    assert told == ["taken"]
    bus.close()
