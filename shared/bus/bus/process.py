"""Process: how a service that needs only a broker and instances runs: environment, signals, exit code."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from schema.fault import XenopsError
from schema.ids import InstanceName, is_safe_name
from schema.log_records import LifeBegan
from schema.sentences import sentence

from bus.collector import be_rare
from bus.crash import CrashPoint, CrashPoints, crash_point
from bus.crashing import CrashingBus
from bus.ending import await_end, listen
from bus.logs import LogFormatError, log_format, passwords, write_to_stderr
from bus.ports import Bus, BusError
from bus.rabbit import RabbitBus
from bus.retention import RetentionError, retention_from

_MAKES_LOGS = "redirector"
"""The one service that makes logs: who may make a stream may delete it, and others need not."""

_log = logging.getLogger("bus")


class SettingsError(Exception):
    """A variable is missing or makes no sense; the sentence says which, and what to set."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Which instances to serve, on which broker; a bus in memory needs no URL."""

    instances: tuple[InstanceName, ...]
    broker: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """A service on the bus; what else a service may be told stands beside `bus` in a class of its own."""

    bus: Settings

    @property
    def broker(self) -> str:
        """The broker's URL."""
        return self.bus.broker

    @property
    def instances(self) -> tuple[InstanceName, ...]:
        """The instances that are served."""
        return self.bus.instances


class Service(Protocol):
    """What a process runs between its start and its end."""

    def start(self) -> None:
        """Begin to serve; returns at once."""

    def stop(self) -> None:
        """Put away what must be; the bus is closed afterwards."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process, from `XENOPS_BROKER` and `XENOPS_INSTANCE`.

    The broker's URL is a secret: instead of it, `XENOPS_BROKER_FILE` may name a file that holds it.

    Raises:
        SettingsError: a variable is missing, or an instance's name cannot name queues.
    """
    broker = environment.get("XENOPS_BROKER", "") or _content(environment.get("XENOPS_BROKER_FILE", ""))
    if not broker:
        raise SettingsError(
            "XENOPS_BROKER is not set: give the broker's URL, amqp://user:secret@host:5672/, or name a file "
            "that holds it in XENOPS_BROKER_FILE"
        )
    names = [name.strip() for name in environment.get("XENOPS_INSTANCE", "").split(",")]
    instances = tuple(InstanceName(name) for name in names if name)
    if not instances:
        raise SettingsError("XENOPS_INSTANCE is not set: name the instances to serve, divided by commas")
    for instance in instances:
        if not is_safe_name(instance):
            raise SettingsError(
                f"XENOPS_INSTANCE names {instance!r}: use up to 64 letters, digits, '.', '_' and '-'"
            )
    return Settings(instances, broker)


def _content(path: str) -> str:
    """What a file of a secret holds; a process that starts before the secret is made is started again."""
    try:
        return Path(path).read_text().strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"XENOPS_BROKER_FILE: {path} cannot be read: {error}") from error


def read_crash_point(environment: Mapping[str, str]) -> CrashPoint | None:
    """Where the process shall die for a test, from `XENOPS_CRASH_POINT` (see `bus.crash`).

    Raises:
        SettingsError: the variable makes no sense.
    """
    try:
        return crash_point(environment)
    except ValueError as error:
        raise SettingsError(str(error)) from error


LOST = "XENOPS_LOST"
"""What a process tells itself when it begins anew: the logs that were not what it had read."""


class Lost:
    """Which logs of this process are not any more what was read; `ended` tells the process's end."""

    def __init__(self, ended: threading.Event) -> None:
        self.ended = ended
        self.instances: list[InstanceName] = []

    def note(self, instance: InstanceName, reason: str) -> None:
        """A log is lost: what this process knows may not be true, so it begins anew, as after a crash."""
        _log.critical("the log of %s is not what it was (%s): this process begins anew", instance, reason)
        self.instances.append(instance)
        self.ended.set()

    @staticmethod
    def tell(bus: Bus, instances: tuple[InstanceName, ...], lost: str) -> None:
        """Say in the logs that were lost before this start that what was given out as a place is void."""
        for instance in set(lost.split(",")).intersection(instances):
            bus.append(InstanceName(instance), LifeBegan(reason="the log was not what a service had read"))


def begin_anew(lost: list[InstanceName]) -> None:
    """Replace this process by one as it was started, under the same pid: no supervisor need be there."""
    environment = {**os.environ, LOST: ",".join(lost)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606  no shell


class Connecting(Protocol):
    """What any process's settings say of the bus."""

    @property
    def broker(self) -> str:
        """The broker's URL."""

    @property
    def instances(self) -> tuple[InstanceName, ...]:
        """Whose logs the process writes."""


SettingsT = TypeVar("SettingsT", bound=Connecting)


def reason(error: SettingsError | XenopsError | OSError) -> str:
    """Why a service cannot start, and what to do; our own errors say both, the system's only why."""
    if isinstance(error, XenopsError):
        return sentence(error.error)
    return f"{error}; see to it, then start again" if isinstance(error, OSError) else str(error)


def run(name: str, build: Callable[[Bus, Settings], Service]) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit code."""
    return run_with(name, from_environment, build)


def run_with(
    name: str, read: Callable[[Mapping[str, str]], SettingsT], build: Callable[[Bus, SettingsT], Service]
) -> int:
    """The same for a process whose settings are more than where to connect to.

    0 is the end that was asked for, 1 a start that failed, 2 a setting that makes no sense by
    itself. A broker that is not there is waited for.
    """
    lost = Lost(listen())
    be_rare()
    try:
        written = write_to_stderr(log_format(os.environ), name)
        settings = read(os.environ)
        written.introduce(settings.instances, passwords(settings.broker))
        wanted = read_crash_point(os.environ)
        makes_logs = retention_from(os.environ) if name == _MAKES_LOGS else None
        bus: Bus = RabbitBus(
            settings.broker, name, settings.instances, makes_logs=makes_logs, on_lost=lost.note
        )
    except (SettingsError, LogFormatError, RetentionError, BusError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 2
    if wanted is not None:
        bus = CrashingBus(bus, CrashPoints(wanted), wanted.name)
    lost.tell(bus, settings.instances, os.environ.pop(LOST, ""))
    try:
        service = build(bus, settings)
        service.start()
    except (SettingsError, XenopsError, OSError) as error:
        sys.stderr.write(f"{name}: cannot start: {reason(error)}\n")
        bus.close()
        return 1
    await_end(lost.ended)
    if lost.instances:
        begin_anew(lost.instances)
    service.stop()
    bus.close()
    return 0
