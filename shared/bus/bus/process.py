"""Process: how a service that needs only a broker and instances runs: environment, signals, exit code."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from schema.ids import InstanceName

from bus.ports import Bus
from bus.rabbit import RabbitBus


class SettingsError(Exception):
    """A variable is missing or makes no sense; the sentence says which, and what to set."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Which instances to serve, on which broker; a bus in memory needs no URL."""

    instances: tuple[InstanceName, ...]
    broker: str = ""


class Service(Protocol):
    """What a process runs between its start and its end."""

    def start(self) -> None:
        """Begin to serve; returns at once."""

    def stop(self) -> None:
        """Put away what must be; the bus is closed afterwards."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process, from `XENOPS_BROKER` and `XENOPS_INSTANCE`.

    Raises:
        SettingsError: a variable is missing.
    """
    broker = environment.get("XENOPS_BROKER", "")
    if not broker:
        raise SettingsError("XENOPS_BROKER is not set: give the broker's URL, amqp://user:secret@host:5672/")
    names = [name.strip() for name in environment.get("XENOPS_INSTANCE", "").split(",")]
    instances = tuple(InstanceName(name) for name in names if name)
    if not instances:
        raise SettingsError("XENOPS_INSTANCE is not set: name the instances to serve, divided by commas")
    return Settings(instances, broker)


class Connecting(Protocol):
    """What any process's settings say of the bus."""

    @property
    def broker(self) -> str:
        """The broker's URL."""

    @property
    def instances(self) -> tuple[InstanceName, ...]:
        """Whose logs the process writes."""


SettingsT = TypeVar("SettingsT", bound=Connecting)


def run(name: str, build: Callable[[Bus, Settings], Service]) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit code."""
    return run_with(name, from_environment, build)


def run_with(
    name: str, read: Callable[[Mapping[str, str]], SettingsT], build: Callable[[Bus, SettingsT], Service]
) -> int:
    """The same for a process whose settings are more than where to connect to."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger(name).setLevel(logging.INFO)  # libraries speak up only when something is wrong
    try:
        settings = read(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 2
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    bus = RabbitBus(settings.broker, name, settings.instances)
    service = build(bus, settings)
    service.start()
    ended.wait()
    service.stop()
    bus.close()
    return 0
