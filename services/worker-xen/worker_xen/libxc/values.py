"""Values: what the hypervisor tells of a domain and of its host; and what a domain is asked for."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
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


class TscMode(IntEnum):
    """Who answers a guest that reads the processor's clock, as Xen's public header `domctl.h` numbers it."""

    DEFAULT = 0
    ALWAYS_EMULATE = 1
    NATIVE = 2


class Container(StrEnum):
    """What a guest runs on: its own kernel alone, the processor's extensions, or emulated hardware, too."""

    PV = "PV"
    PVH = "PVH"
    HVM = "HVM"


@dataclass(frozen=True, slots=True)
class Nature:
    """What a domain is from its beginning; no `features`: those that the hypervisor gives by itself."""

    container: Container
    vcpus: int
    memory_bytes_max: int
    ssidref: int = 0
    tsc_mode: TscMode = TscMode.DEFAULT
    features: tuple[int, ...] = ()
    gets_pcis: bool = False
    video_mib: int = 0
    """Of the memory what a picture has, for HVM."""
    clock_offset_s: int = 0
    """How far an HVM guest's clock is from UTC."""
    viridian: int = 0
    """What of Microsoft's interface an HVM guest finds: see `worker_xen.viridian.mask_of`."""

    @property
    def paging_mib(self) -> int:
        """For the hypervisor's own tables of the guest's pages: 1 MiB a vCPU, and two pages a MiB."""
        pages = 2 * (self.memory_bytes_max >> 20)
        return self.vcpus + -(-pages * PAGE_BYTES // (1 << 20))


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
class Cpu:
    """Where a CPU of the host is; cores are numbered within their socket."""

    node: int
    socket: int
    core: int


UNREACHABLE = 0xFFFFFFFF
"""A distance, or a CPU's node, that the firmware does not tell, as Xen's public header `sysctl.h` has it."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The host's CPUs by their numbers, and how far each node's memory is from each node's CPUs.

    Distances are the firmware's: 10 within a node.
    """

    cpus: tuple[Cpu, ...]
    distances: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class HostDevice:
    """A PCI device of the host, and what a guest needs of it: ports and frames as first and count."""

    number: int
    ports: tuple[tuple[int, int], ...] = ()
    frames: tuple[tuple[int, int], ...] = ()
    interrupt: int = 0
    """0: none."""


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
    """What a guest boots; of an HVM guest hvmloader, which starts the `firmware`."""

    path: str
    ramdisk: str | None = None
    command_line: str = ""
    firmware: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A kernel, and how much memory and how many vCPUs it finds."""

    kernel: Kernel
    memory_mib: int
    vcpus_online: int = 1
    has_acpi: bool = True
