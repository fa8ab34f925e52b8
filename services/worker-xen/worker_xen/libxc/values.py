"""Values: what the hypervisor tells of a domain and of its host; and what a domain is asked for."""

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

PAGE_BYTES = 4096


class ShutdownReason(IntEnum):
    """Why a domain has stopped, as Xen's public header `sched.h` numbers it."""

    POWEROFF = 0
    REBOOT = 1
    SUSPEND = 2
    CRASH = 3
    WATCHDOG = 4
    SOFT_RESET = 5


@dataclass(frozen=True, slots=True)
class DomainInfo:
    """A domain as the hypervisor has it now."""

    domid: int
    uuid: UUID
    memory_bytes: int
    memory_bytes_max: int
    cpu_time_ns: int
    is_paused: bool = False
    is_dying: bool = False
    stopped: int | None = None
    """A `ShutdownReason`, or a number that Xen has added since; None while it has not stopped."""


@dataclass(frozen=True, slots=True)
class HostInfo:
    """The physical machine."""

    cpus: int
    nodes: int
    threads_per_core: int
    cores_per_socket: int
    cpu_khz: int
    memory_bytes: int
    memory_free_bytes: int
    has_hvm: bool
    has_iommu: bool


@dataclass(frozen=True, slots=True)
class Rings:
    """The two rings that a guest is born with, each by its event channel's port and its frame."""

    store_port: int
    store_frame: int
    console_port: int
    console_frame: int


@dataclass(frozen=True, slots=True)
class Ports:
    """Event channels of both rings, which the domain has before its memory."""

    store: int
    console: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a paravirtual guest boots."""

    path: str
    ramdisk: str | None
    command_line: str
