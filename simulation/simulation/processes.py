"""Processes: who runs under which name: each real service, shell and all, on a simulated bus."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

import eventhub.service
import frontend.service
import redirector.service
from bus.process import Settings
from engine.worker import WorkerService, WorkerSettings
from frontend.settings import Settings as FrontendSettings
from schema.ids import WorkerName

from simulation.broker import Broker
from simulation.bus import SimBus
from simulation.client import INSTANCE
from simulation.host import Machine
from simulation.life import Life
from simulation.scheduler import HostClock, Scheduler

SETTINGS = Settings((INSTANCE,))


class Service(Protocol):
    """What runs as a process."""

    def start(self) -> None:
        """Begin to serve."""

    def stop(self) -> None:
        """Put away what must be."""


@dataclass(frozen=True, slots=True)
class Process:
    """One life of a service, and its bus."""

    life: Life
    bus: SimBus
    service: Any


@dataclass(frozen=True, slots=True)
class World:
    """What all processes have in common; `complain` is told of every finding."""

    seed: int
    scheduler: Scheduler
    broker: Broker
    machine: Machine
    complain: Callable[[str], None]
    snapshot_every: int = 0

    def connect(self, name: str, number: int, clock: HostClock) -> tuple[Life, SimBus]:
        """A new life of a process, and its bus."""
        random = Random(f"{self.seed}/{name}/{number}")
        life = Life(name, self.scheduler, clock, random)
        life.on_bug = self.complain
        return life, SimBus(life, self.broker, self.snapshot_every)


class Seat:
    """A name that somebody runs under; after each death it may be taken anew."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.clock = HostClock(world.scheduler)
        self.process: Process | None = None
        self.ghosts: list[Process] = []
        self.lost = False
        self._world = world
        self._lives = 0

    @property
    def life(self) -> Life | None:
        """The life that runs, if one does."""
        return self.process.life if self.process is not None and self.process.life.alive else None

    def start(self) -> None:
        """Begin a life, unless one is under way, or it is lost."""
        if self.life is not None or self.lost:
            return
        self._lives += 1
        life, bus = self._world.connect(self.name, self._lives, self.clock)
        service = self._build(life, bus)
        self.process = Process(life, bus, service)
        life.enter(service.start)

    def kill(self) -> None:
        """End the life that runs."""
        if self.process is not None and self.process.life.alive:
            self.process.life.kill()
            self.process.bus.killed()

    def lose(self) -> None:
        """End it, and let nobody take its place."""
        self.lost = True
        self.kill()

    def stop(self) -> None:
        """Let the service end as it is told to by a signal; then its process ends."""
        process = self.process
        if process is None or not process.life.alive:
            return

        def end() -> None:
            process.service.stop()
            for _ in range(50):
                if not process.bus.publisher.unconfirmed():
                    break
                process.life.wait(0.1)
            process.life.kill()
            process.bus.killed()

        process.life.begin(end)

    def leave_ghost(self) -> None:
        """The life that runs goes on beside the next one."""
        if self.process is not None:
            self.ghosts.append(self.process)
            self.process = None

    def lay_ghosts(self) -> None:
        """End what went on beside."""
        for ghost in self.ghosts:
            if ghost.life.alive:
                ghost.life.kill()
                ghost.bus.killed()
        self.ghosts.clear()

    def _build(self, life: Life, bus: SimBus) -> Service:
        kind = self.name.partition("-")[0]
        if kind == "redirector":
            return redirector.service.build(bus, SETTINGS)
        if kind == "eventhub":
            return eventhub.service.build(bus, SETTINGS)
        if kind == "frontend":
            return frontend.service.build(bus, FrontendSettings(SETTINGS))
        directory: Path = self._world.machine.directory
        settings = WorkerSettings(
            INSTANCE, WorkerName(self.name), directory, directory / "metadata", directory / "hooks", 3
        )
        return WorkerService(bus, settings, self._world.machine.host_of(life))
