"""Settings: which doors a frontend opens, besides the queues on the bus."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bus.process import ServiceSettings, SettingsError
from bus.process import from_environment as bus_settings
from schema.ids import InstanceName

from frontend.http.address import Address, AddressError, parse_address, wants_tls
from frontend.http.tls import tls_from_environment


@dataclass(frozen=True, slots=True)
class Doors:
    """Where doors are opened; none, unless it is said."""

    switch: tuple[Address, ...] = ()
    sockets: Mapping[InstanceName, Path] = field(default_factory=dict)
    door: Path | None = None
    state: Path | None = None
    """Where the switch keeps its queues; without it they end with the process."""

    storage: str | None = None
    """The switch's queue of the host's storage service, which is asked for workers."""

    migration: tuple[Address, ...] = ()
    """Where migrations of other hosts are let in; the first without TLS is where workers come for them."""

    tls: ssl.SSLContext | None = None
    """How TLS is spoken at the addresses that want it."""


@dataclass(frozen=True, slots=True)
class Settings(ServiceSettings):
    """A service on the bus, and its doors."""

    doors: Doors = Doors()


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process: those of every service, and the doors.

    `XENOPS_SWITCH`: addresses of the message switch, divided by commas. `XENOPS_SOCKETS`: a directory where
    each instance has one with its sockets, or `INSTANCE=DIRECTORY` for one, divided by commas. `XENOPS_DOOR`:
    a Unix socket for calls to any instance. `XENOPS_MIGRATION`: addresses at which other hosts' migrations
    come in, divided by commas; workers must reach the first one without TLS. `tls:HOST:PORT` asks for TLS, at
    the switch and for migrations, see `frontend.http.tls`. `XENOPS_STATE_DIR`: where the switch's queues are
    kept. `XENOPS_SWITCH_STORAGE`: the switch's queue of a storage service, which workers then reach.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    bus = bus_settings(environment)
    switch = _addresses("XENOPS_SWITCH", parse_address, environment)
    migration = _addresses("XENOPS_MIGRATION", partial(parse_address, loopback=False), environment)
    state = environment.get("XENOPS_STATE_DIR")
    door = environment.get("XENOPS_DOOR")
    sockets = _sockets(environment.get("XENOPS_SOCKETS", ""), bus.instances)
    if migration and all(map(wants_tls, migration)) and not sockets and not door:
        raise SettingsError(
            "XENOPS_MIGRATION: workers come to their frontend without TLS: name an address for them, too, "
            "such as a socket's path"
        )
    return Settings(
        bus,
        Doors(
            switch,
            sockets,
            Path(door) if door else None,
            Path(state) if state else None,
            _storage(environment, switch),
            migration,
            tls_from_environment(environment) if any(map(wants_tls, (*switch, *migration))) else None,
        ),
    )


def _storage(environment: Mapping[str, str], switch: tuple[Address, ...]) -> str | None:
    name = environment.get("XENOPS_SWITCH_STORAGE") or None
    if name is not None and not switch:
        raise SettingsError(
            "XENOPS_SWITCH_STORAGE names a queue of the switch, and there is none: set XENOPS_SWITCH, too"
        )
    return name


def _addresses(
    name: str, parse: Callable[[str], Address], environment: Mapping[str, str]
) -> tuple[Address, ...]:
    try:
        return tuple(map(parse, _words(environment.get(name, ""))))
    except AddressError as error:
        raise SettingsError(f"{name}: {error}") from error


def _sockets(text: str, instances: tuple[InstanceName, ...]) -> dict[InstanceName, Path]:
    """The directory of each instance's sockets."""
    found: dict[InstanceName, Path] = {}
    for word in _words(text):
        name, is_pair, directory = word.partition("=")
        if not is_pair:
            found |= {instance: Path(word) / instance for instance in instances}
        elif name in instances:
            found[InstanceName(name)] = Path(directory)
        else:
            raise SettingsError(f"XENOPS_SOCKETS names {name!r}: served are {', '.join(instances)}")
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
