"""Run: one scenario from its beginning until all is quiet again, and what was found."""

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bus.insist import Insistent

from simulation.broker import Broker
from simulation.check import final_complaints, unsettled
from simulation.client import INSTANCE, Caller, Client
from simulation.follower import Follower
from simulation.host import Machine
from simulation.processes import Seat, World
from simulation.scenario import Scenario
from simulation.scheduler import HostClock, Scheduler
from simulation.snapshots import Snapshots
from simulation.strike import Striker

SETTLE_S = 400.0
"""How long it may take, after all is put right, until nothing is under way any more."""

LOOK_S = 1.0
"""How often it is looked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a scenario: `findings` is empty when all went well."""

    findings: tuple[str, ...]
    virtual_s: float
    steps: int


class Simulation:
    """All of one instance."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self.scenario = scenario
        self.findings: list[str] = []
        self.scheduler = Scheduler()
        seed = scenario.seed
        broker = Broker(self.scheduler, Random(f"{seed}/broker"))
        machine = Machine(directory, scenario.vms, self.complain)
        self.world = World(seed, self.scheduler, broker, machine, self.complain, scenario.snapshot_every)
        services = ("redirector", "eventhub", "frontend")
        names = [f"{service}-{number}" for service in services for number in (1, 2)]
        names += [f"worker-{number + 1}" for number in range(scenario.workers)]
        self.seats = {name: Seat(name, self.world) for name in names}
        caller = self._caller("client")
        self.client = Client(caller, Insistent(caller.bus, INSTANCE))
        self.follower = Follower(self._caller("follower"))
        self.snapshots = Snapshots(self)
        self.striker = Striker(self.world, self.seats, self.client)

    def complain(self, finding: str) -> None:
        """Something must not be so."""
        self.findings.append(f"at {self.scheduler.now:.3f} s: {finding}")

    def run(self) -> Verdict:
        """From the beginning to the end; the first finding ends it."""
        for seat in self.seats.values():
            seat.start()
        self.client.log.start()
        self.follower.start()
        self.snapshots.start()
        for step in self.scenario.steps:
            self.scheduler.at(step.at, lambda step=step: self.striker.do(step))  # type: ignore[misc]
        self._go(self.scenario.lasts_s)
        self.striker.heal()
        self._settle()
        if self.striker.find():
            self._settle()
        self._judge()
        return Verdict(tuple(self.findings), self.scheduler.now, self.scheduler.steps)

    def _go(self, until_s: float) -> None:
        while self.scheduler.now < until_s and not self.findings:
            self.scheduler.run_until(min(until_s, self.scheduler.now + LOOK_S))

    def _settle(self) -> None:
        end, quiet = self.scheduler.now + SETTLE_S, 0
        while not self.findings and quiet < 2:
            if self.scheduler.now > end:
                self.complain(f"not settled within {SETTLE_S:g} s: {'; '.join(unsettled(self))}")
                return
            self._go(self.scheduler.now + LOOK_S)
            self.striker.heal()
            quiet = 0 if any(unsettled(self)) else quiet + 1

    def _judge(self) -> None:
        if not self.findings:
            self.client.look_again()
            while self.client.caller.asking and not self.findings:
                self._go(self.scheduler.now + LOOK_S)
        if not self.findings:
            for complaint in final_complaints(self):
                self.complain(complaint)

    def _caller(self, name: str) -> Caller:
        _, bus = self.world.connect(name, 1, HostClock(self.scheduler))
        return Caller(bus, self.complain)

    def end(self) -> None:
        """Let go of all greenlets."""
        for seat in self.seats.values():
            seat.lay_ghosts()
            seat.kill()
        self.scheduler.run_until(self.scheduler.now)


@contextmanager
def simulated(scenario: Scenario) -> Iterator[Simulation]:
    """A simulation, not yet run, on a disk of its own."""
    place = Path("/dev/shm")  # noqa: S108  a file system in memory, where there is one
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as directory:
        simulation = Simulation(scenario, Path(directory))
        try:
            yield simulation
        finally:
            simulation.end()


def run(scenario: Scenario) -> Verdict:
    """Run a scenario; the garbage collector stays out of it, for what it ends it would end at any time."""
    gc.disable()
    try:
        return _run(scenario)
    finally:
        gc.enable()  # all of it is garbage by now, which the next look at what is young finds


def _run(scenario: Scenario) -> Verdict:
    with simulated(scenario) as simulation:
        return simulation.run()
