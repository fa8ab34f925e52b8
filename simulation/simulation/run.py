"""Run: one scenario from its beginning until all is quiet again, and what was found."""

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bus.insist import Insistent
from schema.ids import InstanceName

from simulation.broker import Broker
from simulation.bugs import bugs_heard
from simulation.bus import SimBus
from simulation.check import final_complaints, lingering, unsettled
from simulation.client import INSTANCE, THERE, Caller, Client, Contact
from simulation.follower import Follower
from simulation.host import Machine, Watch
from simulation.network import Net
from simulation.processes import Home, World, door_of
from simulation.scenario import ABSENT_S, Scenario
from simulation.scheduler import HostClock, Scheduler
from simulation.site import Site, site_of
from simulation.stage import Stage
from simulation.strike import Striker
from simulation.whereabouts import Whereabouts
from simulation.xapi import Xapi

SETTLE_S = 400.0
"""How long it may take, after all is put right, until nothing is under way any more."""

LOOK_S = 1.03
"""How often it is looked; with no rhythm of a service, else each look may find the same one at its work."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a scenario: `findings` is empty when all went well."""

    findings: tuple[str, ...]
    virtual_s: float
    steps: int


TRANSFER_S = 1.0
"""How long a VM's memory takes to another host, at each side."""

SERVICES = ("redirector", "eventhub", "frontend")


class Simulation:
    """All of one instance, or of two on two hosts."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self.findings: list[str] = []
        self.scheduler = Scheduler()
        seed = scenario.seed
        broker = Broker(self.scheduler, Random(f"{seed}/broker"))
        self.world = World(seed, self.scheduler, broker, Net(), self.complain, scenario.snapshot_every)
        self._whereabouts = Whereabouts(self.complain)
        self._roams = scenario.hosts > 1
        here = [f"{service}-{number}" for service in SERVICES for number in (1, 2)]
        here += [f"worker-{number + 1}" for number in range(scenario.workers)]
        there = [f"{service}-there" for service in (*SERVICES, "worker")]
        self._client_bus, followed = self._bus("client"), self._bus("follower")
        places = ((INSTANCE, here), (THERE, there))[: scenario.hosts]
        sites = tuple(
            site_of(
                self._home(directory / name, name),
                names,
                Follower(Caller(followed, name, self.complain), devices=scenario.devices),
                Xapi(Caller(followed, name, self.complain), scenario.vms),
            )
            for name, names in places
        )
        sites[0].machine.configure(scenario.vms)
        client = Client(tuple(map(self._contact, sites)), self._find)
        self.stage = Stage(scenario, sites, client)
        self.striker = Striker(self.world, sites, client)

    def _home(self, directory: Path, instance: InstanceName) -> Home:
        transfer_s = TRANSFER_S if self._roams else 0.0
        machine = Machine(directory, Watch(self.complain), self._whereabouts, transfer_s)
        return Home(self.world, instance, machine, is_open=self._roams)

    def _contact(self, site: Site) -> Contact:
        caller = Caller(self._client_bus, site.instance, self.complain)
        frontend = next(name for name in site.seats if name.startswith("frontend"))
        return Contact(caller, Insistent(caller.bus, site.instance), door_of(frontend))

    def _find(self, vm: str) -> int:
        """Where a VM is configured; while it is nowhere, where it was first."""
        return next((number for number, site in enumerate(self.stage.sites) if site.machine.knows(vm)), 0)

    def complain(self, finding: str) -> None:
        """Something must not be so."""
        self.findings.append(f"at {self.scheduler.now:.3f} s: {finding}")

    def run(self) -> Verdict:
        """From the beginning to the end; the first finding ends it."""
        for site in self.stage.sites:
            site.start()
        for contact in self.stage.client.contacts:
            contact.log.start()
        for step in self.stage.scenario.steps:
            self.scheduler.at(step.at, lambda step=step: self.striker.do(step))  # type: ignore[misc]
        self._go(self.stage.scenario.lasts_s)
        self.striker.heal()
        if self.striker.an_instance_has_no_worker():
            self._go(self.scheduler.now + ABSENT_S)
            for complaint in lingering(self.stage):
                self.complain(complaint)
        else:
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
                self.complain(f"not settled within {SETTLE_S:g} s: {'; '.join(unsettled(self.stage))}")
                return
            self._go(self.scheduler.now + LOOK_S)
            self.striker.heal()
            quiet = 0 if any(unsettled(self.stage)) else quiet + 1

    def _judge(self) -> None:
        if not self.findings:
            self.stage.client.look_again()
            while self.stage.client.asking and not self.findings:
                self._go(self.scheduler.now + LOOK_S)
        if not self.findings:
            for complaint in final_complaints(self.stage):
                self.complain(complaint)

    def _bus(self, name: str) -> SimBus:
        _, bus = self.world.connect(name, 1, HostClock(self.scheduler))
        return bus

    def end(self) -> None:
        """Let go of all greenlets."""
        for site in self.stage.sites:
            for seat in site.seats.values():
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
            with bugs_heard(simulation.complain):
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
