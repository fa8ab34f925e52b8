"""Snapshots: redirectors that have read as much know the same, however they began."""

from collections.abc import Iterator
from typing import Any

from bus.place import Place
from redirector.core import Redirector
from schema.ids import InstanceName

from simulation.processes import Seat, World
from simulation.scheduler import EPOCH_S

EVERY_S = 6.0
"""How often snapshots are taken."""


class Snapshots:
    """Some of what redirectors knew, with the place in the log that it stands for."""

    def __init__(self, world: World, instance: InstanceName, seats: dict[str, Seat]) -> None:
        self._world = world
        self._instance = instance
        self._seats = seats
        self._taken: list[tuple[int, bytes]] = []

    def start(self) -> None:
        """Take some, now and then."""
        self._world.scheduler.after(EVERY_S, self._take)

    def _take(self) -> None:
        self._world.scheduler.after(EVERY_S, self._take)
        known: dict[tuple[int, str], bytes] = {}
        for place, core in self._redirectors():
            if not self._world.broker.holds(self._instance, place):
                continue  # it knows a log that is lost, and not yet that it is
            try:
                snapshot = core.snapshot()
            except AssertionError as error:
                self._world.complain(f"a redirector knows what cannot be: {error}")
                return
            if known.setdefault((place.next, place.anchor), snapshot) != snapshot:
                sentence = f"redirectors that have read {place.next} entries know different things"
                self._world.complain(sentence)
        self._taken += ((place, snapshot) for (place, _), snapshot in known.items())

    def forget(self) -> None:
        """What was taken is of a log that there is no more."""
        self._taken.clear()

    def complaints(self) -> Iterator[str]:
        """What whoever begins with a snapshot and reads on does not know as all others do."""
        end = len(self._world.broker.logs[self._instance])
        known = {core.snapshot() for place, core in self._redirectors() if place.next == end}
        entries = list(self._world.broker.entries(self._instance))
        for place, snapshot in self._taken[:: max(1, len(self._taken) // 3)]:
            began = Redirector("began")
            began.restore(snapshot)
            if began.snapshot() != snapshot:
                yield f"a snapshot of {place} entries is not what is made of it"
            for entry in entries:
                if entry.offset >= place:
                    began.on_entry(entry, EPOCH_S)
            if known - {began.snapshot()}:
                yield f"a redirector that begins with a snapshot of {place} entries knows different things"

    def _redirectors(self) -> Iterator[tuple[Place, Any]]:
        for name, seat in self._seats.items():
            if name.startswith("redirector") and seat.process is not None and seat.life is not None:
                reader = seat.process.bus.reader_of(self._instance)
                if reader is not None:
                    yield reader.place(), seat.process.service._instances[0]._core
