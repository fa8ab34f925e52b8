"""Waiting: who waits for news, from which place, until when; thousands at the cost of a few.

They are kept by place, to make one answer for all of a place, and by the tick in which their time is up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from eventhub.effects import Address
from eventhub.tokens import START

TICK_S = 0.1
"""How exactly the time is kept."""


@dataclass(slots=True)
class Waiting:
    """Everybody who waits for news."""

    _by_place: dict[int, dict[int, Address]] = field(default_factory=dict)
    _by_tick: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    _count: int = 0
    _next: int = 0

    def __len__(self) -> int:
        return self._count

    def places(self) -> Iterator[tuple[int, int]]:
        """How many have seen all up to each place at which anybody waits."""
        return ((place, len(addresses)) for place, addresses in self._by_place.items())

    def add(self, address: Address, place: int, deadline: float) -> None:
        """Somebody waits for what comes after `place`."""
        number, self._next = self._next, self._next + 1
        self._by_place.setdefault(place, {})[number] = address
        self._by_tick.setdefault(_tick_of(deadline), []).append((place, number))
        self._count += 1

    def begin_anew(self) -> None:
        """The places were those of another log: whoever waits has seen nothing of this one."""
        everybody = {number: one for waiting in self._by_place.values() for number, one in waiting.items()}
        self._by_place = {START: everybody} if everybody else {}
        self._by_tick = {
            tick: [(START, number) for _, number in entries] for tick, entries in self._by_tick.items()
        }

    def wake(self, last: int) -> Iterator[tuple[int, tuple[Address, ...]]]:
        """Those who have not seen everything up to `last`, by place; afterwards they do not wait."""
        for place in [place for place in self._by_place if place < last]:
            addresses = self._by_place.pop(place)
            self._count -= len(addresses)
            yield place, tuple(addresses.values())
        if not self._by_place:
            self._by_tick.clear()

    def expire(self, now: float) -> Iterator[tuple[int, tuple[Address, ...]]]:
        """Those whose time is up, by place; afterwards they do not wait."""
        expired: dict[int, list[Address]] = {}
        for tick in [tick for tick in self._by_tick if tick * TICK_S <= now]:
            for place, number in self._by_tick.pop(tick):
                address = self._by_place.get(place, {}).pop(number, None)
                if address is not None:  # else it was woken before
                    expired.setdefault(place, []).append(address)
                    self._count -= 1
        for place, addresses in expired.items():
            if not self._by_place[place]:
                del self._by_place[place]
            yield place, tuple(addresses)


def _tick_of(deadline: float) -> int:
    return -int(-deadline // TICK_S)
