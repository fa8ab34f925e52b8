"""Processes: who runs under which name: each real service, shell and all, on a simulated bus."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

import eventhub.service
import frontend.service
import redirector.service
from bus.process import Settings
from engine.worker import WorkerService, WorkerSettings
from frontend.http.message import Limits
from frontend.http.server import HttpServer
from frontend.migration import Migrations, for_sources
from frontend.rpc_door import RpcDoor
from frontend.settings import Settings as FrontendSettings
from schema.ids import InstanceName, WorkerName
from schema.log_records import LifeBegan

from simulation.broker import Broker
from simulation.bus import SimBus
from simulation.host import Machine
from simulation.life import Life
from simulation.network import Net
from simulation.scheduler import HostClock, Scheduler

WORKER_CAPACITY = 3
LOG_LOST = "the log was not what a service had read"


def door_of(frontend: str) -> str:
    """Where a frontend takes other hosts' connections."""
    return f"{frontend}:80"


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
    net: Net
    complain: Callable[[str], None]
    snapshot_every: int = 0

    def connect(self, name: str, number: int, clock: HostClock) -> tuple[Life, SimBus]:
        """A new life of a process, and its bus."""
        random = Random(f"{self.seed}/{name}/{number}")
        life = Life(name, self.scheduler, clock, random)
        life.on_bug = self.complain
        return life, SimBus(life, self.broker, self.snapshot_every)


@dataclass(frozen=True, slots=True)
class Home:
    """The host that processes are on, and its instance; `is_open`: other hosts' migrations are let in."""

    world: World
    instance: InstanceName
    machine: Machine
    is_open: bool = False


class Seat:
    """A name that somebody runs under; after each death it may be taken anew."""

    def __init__(self, name: str, home: Home) -> None:
        self.name = name
        self.clock = HostClock(home.world.scheduler)
        self.process: Process | None = None
        self.ghosts: list[Process] = []
        self.lost = False
        self._home = home
        self._lives = 0

    @property
    def life(self) -> Life | None:
        """The life that runs, if one does."""
        return self.process.life if self.process is not None and self.process.life.alive else None

    def start(self, *, anew: bool = False) -> None:
        """Begin a life, unless one is under way, or it is lost; `anew`: because a log is."""
        if self.life is not None or self.lost:
            return
        self._lives += 1
        life, bus = self._home.world.connect(self.name, self._lives, self.clock)
        if anew:
            life.enter(partial(bus.append, self._home.instance, LifeBegan(reason=LOG_LOST)))
        service = self._build(life, bus)
        process = self.process = Process(life, bus, service)
        bus.on_lost = partial(self._home.world.scheduler.after, 0, partial(self._begin_anew, process))
        life.enter(service.start)

    def _begin_anew(self, process: Process) -> None:
        """As `bus.process` does; who goes on beside its successor is only ended."""
        if process.life.alive:
            process.life.kill()
            process.bus.killed()
        if process is self.process:
            self.start(anew=True)

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
        home, kind = self._home, self.name.partition("-")[0]
        settings = Settings((home.instance,))
        if kind == "redirector":
            return redirector.service.build(bus, settings)
        if kind == "eventhub":
            return eventhub.service.build(bus, settings)
        if kind == "frontend":
            service = frontend.service.build(bus, FrontendSettings(settings))
            if home.is_open:
                self._open_door(life, bus, service)
            return service
        directory: Path = home.machine.directory
        metadata, hooks, name = directory / "metadata", directory / "hooks", WorkerName(self.name)
        own = WorkerSettings(home.instance, name, directory, metadata, hooks, WORKER_CAPACITY)
        return WorkerService(bus, own, home.machine.host_of(life, home.world.net))

    def _open_door(self, life: Life, bus: SimBus, service: frontend.service.Service) -> None:
        """As `frontend.doors` does it at an address for migrations."""
        address, instances = door_of(self.name), (self._home.instance,)
        streams = partial(Migrations(bus, address).take_over, instances)
        door = RpcDoor(instances, for_sources(service.ask), is_fixed=False, streams=streams)
        self._home.world.net.open(address, life, HttpServer(door, Limits()).factory)
