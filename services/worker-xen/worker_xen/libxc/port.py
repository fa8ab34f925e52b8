"""Port: what backend classic asks of the hypervisor; `worker_xen.libxc.door` is the real one.

Errors, of every method: `XenError`.
"""

import errno
from collections.abc import Iterator, Sequence
from typing import Protocol
from uuid import UUID

from worker_xen.libxc.values import (
    DomainInfo,
    HostDevice,
    HostInfo,
    Loaded,
    Nature,
    Ports,
    Rings,
    ShutdownReason,
    Topology,
)


class XenError(Exception):
    """The hypervisor, or one of its libraries, did not do what was asked; `number` is its errno."""

    def __init__(self, sentence: str, number: int = 0) -> None:
        super().__init__(sentence)
        self.number = number

    @property
    def is_out_of_memory(self) -> bool:
        """Whether the host has too little memory."""
        return self.number == errno.ENOMEM

    @property
    def is_no_such_domain(self) -> bool:
        """Whether there is no such domain."""
        return self.number == errno.ESRCH


class Xen(Protocol):
    """The hypervisor of this host; safe for any thread."""

    @property
    def version_text(self) -> str:
        """As `4.17`."""

    def version_details(self) -> tuple[str, str]:
        """What follows the version, as `.3-pre`, and what guests the hypervisor can run."""

    def host(self) -> HostInfo:
        """The physical machine."""

    def topology(self) -> Topology:
        """CPUs and NUMA nodes."""

    def nodes_free_bytes(self) -> tuple[int, ...]:
        """Of each NUMA node the memory that nobody has."""

    def featureset(self, index: int) -> tuple[int, ...]:
        """CPU features in words: 0 of the hardware, 1 of the hypervisor, 2 for PV and 3 for HVM guests."""

    def console_ring(self) -> str:
        """What the hypervisor has written to its console."""

    def send_debug_keys(self, keys: str) -> None:
        """Press keys on the hypervisor's console."""

    def domain(self, domid: int) -> DomainInfo | None:
        """One domain; None: there is none of that number."""

    def domains(self) -> Iterator[DomainInfo]:
        """All domains, the control domain among them."""

    def create(self, uuid: UUID, nature: Nature) -> int:
        """An empty, paused domain; answers its number."""

    def prepare(self, domid: int, nature: Nature, *, restored: bool) -> Ports:
        """Give a domain its limits and its clock; what an image has, only where it comes from none."""

    def build(self, domid: int, nature: Nature, loaded: Loaded, ports: Ports) -> Rings:
        """Put a kernel into a domain."""

    def set_weight(self, domid: int, weight: int, cap: int) -> None:
        """How much of scarce CPUs a domain gets, and how much at most (percent; 0: all)."""

    def set_affinity(self, domid: int, vcpu: int, cpus: Sequence[int], *, soft: bool = False) -> None:
        """Bind a vCPU to CPUs; `soft`: it had rather run there. Its domain's memory will be theirs, too."""

    def give(self, domid: int, device: HostDevice) -> None:
        """Let a domain, and nobody else, use a PCI device."""

    def take(self, domid: int, device: HostDevice) -> None:
        """Let it use the device no more; it did not, nothing to do."""

    def set_uuid(self, domid: int, uuid: UUID) -> None:
        """Give a domain another id."""

    def has_drivers(self, domid: int) -> bool:
        """Whether an HVM guest has drivers of Xen's."""

    def press_power(self, domid: int) -> None:
        """Press its power button; its guest does what it likes."""

    def press_sleep(self, domid: int) -> None:
        """Press its sleep button; its guest does what it likes."""

    def is_asleep(self, domid: int) -> bool:
        """Whether an HVM guest sleeps in its memory (ACPI S3)."""

    def set_asleep(self, domid: int, *, asleep: bool) -> None:
        """Have its vCPUs sleep, or begin where its firmware does; they do so already, nothing to do."""

    def shut_down(self, domid: int, reason: ShutdownReason) -> None:
        """Stop a domain, whatever its guest does."""

    def pause(self, domid: int) -> None:
        """Stop the vCPUs. The hypervisor counts: once more takes one more `unpause`."""

    def unpause(self, domid: int) -> None:
        """Let the vCPUs run."""

    def resume(self, domid: int) -> None:
        """Let a domain go on that has suspended itself."""

    def destroy(self, domid: int) -> None:
        """Unmake a domain; there is none, nothing to do."""

    def close(self) -> None:
        """Let go of all handles that nobody uses."""
