"""Values: what libvirt tells of domains, and how it says no."""

from dataclasses import dataclass
from enum import Enum


class VirtError(Exception):
    """Libvirt said no; the sentence says to what, in libvirt's words."""


class VirtGoneError(VirtError):
    """Libvirt is not reached: whether what was asked for has been done is not known."""


class NoDomainError(VirtError):
    """Libvirt has no such domain."""


class AbortedError(VirtError):
    """A job was aborted, because we asked for that."""


class DomainStatus(Enum):
    """What a domain does."""

    RUNNING = "running"
    PAUSED = "paused"
    CRASHED = "crashed"
    """The guest panicked; what is left of it is kept."""
    ENDED = "ended"


class How(Enum):
    """By what a domain ended."""

    SHUT_DOWN = "shut down"
    DESTROYED = "destroyed"
    CRASHED = "crashed"
    SAVED = "saved"


@dataclass(frozen=True, slots=True)
class DomainInfo:
    """A domain as libvirt has it; `mark` is our own element in its metadata, None when it has none."""

    uuid: str
    name: str
    status: DomainStatus
    memory_bytes: int
    """What it has, its balloon taken off."""
    mark: str | None
    number: int = -1
    """The hypervisor's; -1: it has ended."""
    how: How | None = None
    """By what its guest ended, where libvirt keeps what is left of it."""
    asleep: bool = False
    """In its memory; it counts as running."""


@dataclass(frozen=True, slots=True)
class Node:
    """The host as libvirt sees it."""

    memory_mib: int
    cpus: int
    mhz: int
    nodes: int
    sockets: int
    """In a node."""
    cores: int
    """In a socket."""
    threads: int
    """In a core."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The domain is gone."""

    uuid: str
    how: How


@dataclass(frozen=True, slots=True)
class Paused:
    """Its vCPUs stand."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """They run."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Panicked:
    """The guest said that it has crashed."""

    uuid: str


@dataclass(frozen=True, slots=True)
class DeviceRemoved:
    """The guest has let go of a device, by its alias."""

    uuid: str
    alias: str


@dataclass(frozen=True, slots=True)
class DeviceStays:
    """The guest has refused to let go of it."""

    uuid: str
    alias: str


@dataclass(frozen=True, slots=True)
class Ballooned:
    """The balloon has moved: the guest has so many bytes now."""

    uuid: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class AgentHeard:
    """The guest has opened the port of its agent, or closed it."""

    uuid: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Slept:
    """The guest has gone to sleep in its memory (ACPI S3), or has woken."""

    uuid: str
    asleep: bool


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The guest has set its hardware clock, so far from UTC if its document says how far it began."""

    uuid: str
    clock_s: int


@dataclass(frozen=True, slots=True)
class TrayMoved:
    """A drive's tray was opened or closed, by its guest or by us."""

    uuid: str
    alias: str
    is_open: bool


VirtEvent = (
    Ended
    | Paused
    | Resumed
    | Panicked
    | DeviceRemoved
    | DeviceStays
    | Ballooned
    | AgentHeard
    | Slept
    | ClockSet
    | TrayMoved
)
"""What libvirt tells by itself."""
