"""What a source makes of what its destination says, or does not say, of a VM."""

from engine.migrate.fate import FATE_TIMEOUT_S, Fate, fate_of
from engine.threads import SystemThreads
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.migration import arrived_id
from typing_extensions import override

VM = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")


class Elapsing(SystemThreads):
    """Threads by a clock that goes on only when somebody waits or is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = self.hand = SetClock()

    @override
    def sleep(self, seconds: float) -> None:
        self.hand.at += seconds


class SetClock:
    """A clock that stands until it is set."""

    at = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def test_a_destination_is_asked_until_it_knows() -> None:
    answers = iter([internal_error("away"), True, False, True])

    def ask(_method: str, **_: object) -> object:
        answer = next(answers)
        if isinstance(answer, XenopsError):
            raise answer
        return answer

    assert fate_of(VM, ask, SystemThreads()) is Fate.ARRIVED


def test_a_vm_that_has_gone_on_from_its_destination_had_arrived_there() -> None:
    def ask(_method: str, **asked: object) -> object:
        return asked["id"] == arrived_id(VM)

    assert fate_of(VM, ask, SystemThreads()) is Fate.ARRIVED


def test_a_destination_that_has_neither_has_given_the_vm_up_and_one_that_is_away_says_nothing() -> None:
    assert fate_of(VM, lambda _method, **_: False, SystemThreads()) is Fate.GIVEN_UP

    def ask(_method: str, **_: object) -> object:
        raise internal_error("away")

    assert fate_of(VM, ask, SystemThreads(), timeout_s=0.1) is Fate.UNKNOWN


def test_a_destination_that_takes_long_to_say_nothing_is_not_asked_for_longer() -> None:
    threads = Elapsing()

    def ask(_method: str, **_: object) -> object:
        threads.hand.at += 5.0
        raise internal_error("nobody serves it yet")

    assert fate_of(VM, ask, threads) is Fate.UNKNOWN
    assert threads.hand.at < FATE_TIMEOUT_S + 10.0
