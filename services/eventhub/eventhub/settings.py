"""Settings: every environment variable that the event hub reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from schema.ids import InstanceName


class SettingsError(Exception):
    """A variable is missing or makes no sense; the sentence says which, and what to set."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Which instances to serve, on which broker; a bus in memory needs no URL."""

    instances: tuple[InstanceName, ...]
    broker: str = ""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process.

    Raises:
        SettingsError: a variable is missing.
    """
    broker = environment.get("XENOPS_BROKER", "")
    if not broker:
        raise SettingsError(
            "XENOPS_BROKER is not set: give the broker's URL, as amqp://user:secret@host:5672/"
        )
    names = [name.strip() for name in environment.get("XENOPS_INSTANCE", "").split(",")]
    instances = tuple(InstanceName(name) for name in names if name)
    if not instances:
        raise SettingsError("XENOPS_INSTANCE is not set: name the instances to serve, divided by commas")
    return Settings(instances, broker)
