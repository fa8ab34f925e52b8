"""Site: one host: its machine, the processes of its instance, and who follows what changes there."""

from collections.abc import Sequence
from dataclasses import dataclass

from schema.ids import InstanceName

from simulation.broker import Item
from simulation.follower import Follower
from simulation.host import Machine
from simulation.processes import Home, Seat
from simulation.snapshots import Snapshots
from simulation.xapi import Xapi


@dataclass(frozen=True, slots=True)
class Site:
    """All of it; `follower` is that client, `xapi` another."""

    home: Home
    seats: dict[str, Seat]
    follower: Follower
    xapi: Xapi
    snapshots: Snapshots

    @property
    def instance(self) -> InstanceName:
        """What is served here."""
        return self.home.instance

    @property
    def machine(self) -> Machine:
        """The host itself."""
        return self.home.machine

    @property
    def log(self) -> Sequence[Item]:
        """All that was ever written of the instance."""
        return self.home.world.broker.logs[self.instance]

    @property
    def has_no_worker(self) -> bool:
        """Whether all of its workers are lost."""
        return all(seat.lost for name, seat in self.seats.items() if name.startswith("worker"))

    def start(self) -> None:
        """Begin all lives."""
        for seat in self.seats.values():
            seat.start()
        self.follower.start()
        self.snapshots.start()


def site_of(home: Home, names: Sequence[str], follower: Follower, xapi: Xapi) -> Site:
    """A host with processes of these names."""
    seats = {name: Seat(name, home) for name in names}
    return Site(home, seats, follower, xapi, Snapshots(home.world, home.instance, seats))
