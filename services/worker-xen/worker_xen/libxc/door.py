"""Door: all that the worker asks of libxenctrl and libxenguest; their handles, pointers and errnos stop here.

A handle of libxenctrl serves one thread at a time, so each call takes one from a pool. The interpreter's
lock is let go of while a call runs.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from typing_extensions import override

from worker_xen.binding import BindingError
from worker_xen.libxc.acpi import ACPI_AT, acpi_tables
from worker_xen.libxc.host import LibxcHost
from worker_xen.libxc.port import XenError
from worker_xen.libxc.values import (
    PAGE_BYTES,
    Container,
    DomainInfo,
    HostDevice,
    Loaded,
    Nature,
    Ports,
    Rings,
    ShutdownReason,
)

_DOMAINS_AT_ONCE = 64
_KIB = 1024
_SLACK_KIB = 1024
"""What a domain may have beyond its guest's memory, as the original gives: pages of its devices."""


class Libxc(LibxcHost):
    """The hypervisor of this host; safe for any thread."""

    def __init__(self, bindings: Path) -> None:
        """Reach it by the binding in that directory. Errors: `BindingError`."""
        super().__init__(bindings)
        try:
            self.domain(0)
        except XenError as error:
            raise BindingError(
                f"Xen {self.version_text} does not answer this binding ({error}): it was compiled for "
                "another Xen, or this is no control domain; install this Xen's libxen-dev"
            ) from error

    @override
    def domain(self, domid: int) -> DomainInfo | None:
        """One domain; None: there is none of that number."""
        return next((found for found in self._list(domid, 1) if found.domid == domid), None)

    @override
    def domains(self) -> Iterator[DomainInfo]:
        """All domains, the control domain among them."""
        first = 0
        while found := self._list(first, _DOMAINS_AT_ONCE):
            yield from found
            first = found[-1].domid + 1

    @override
    def create(self, uuid: UUID, nature: Nature) -> int:
        """An empty, paused domain; answers its number."""
        container = self._number_of(nature.container)
        domid = self._ffi.new("uint32_t *")
        handle_bytes = self._ffi.new("uint8_t[]", uuid.bytes)
        try:
            self._do(
                "create a domain",
                lambda handle: self._lib.xo_create(
                    handle, handle_bytes, nature.ssidref, nature.vcpus, container, nature.gets_pcis, domid
                ),
            )
        except XenError:
            if domid[0]:
                self.destroy(domid[0])
            raise
        return int(domid[0])

    @override
    def prepare(self, domid: int, nature: Nature, *, restored: bool) -> Ports:
        """Give a domain its limits and its clock; what an image has, only where it comes from none."""
        lib, kib = self._lib, nature.memory_bytes_max // _KIB + _SLACK_KIB
        self.set_memory_max(domid, nature.memory_bytes_max)
        if nature.container is Container.PV:
            self._do("limit the memory map", lambda handle: lib.xo_set_memory_map_limit(handle, domid, kib))
        else:
            mib = nature.paging_mib
            self._do(
                "give memory for page tables", lambda handle: lib.xo_set_paging_memory(handle, domid, mib)
            )
        self._do("set the clock", lambda handle: lib.xo_set_tsc_mode(handle, domid, int(nature.tsc_mode)))
        if nature.container is Container.HVM:
            offset_s = nature.clock_offset_s
            self._do("set the clocks", lambda handle: lib.xo_set_clocks(handle, domid, offset_s))
        if nature.viridian and not restored:
            mask = nature.viridian
            self._do("show Windows its words", lambda handle: lib.xo_set_viridian(handle, domid, mask))
        if not restored:
            words = self._ffi.new("uint32_t[]", nature.features)
            count = len(nature.features)
            self._do("set the CPU policy", lambda handle: lib.xo_set_cpu_policy(handle, domid, words, count))
        return Ports(self._port(domid), self._port(domid))

    def set_memory_max(self, domid: int, memory_bytes: int) -> None:
        """Limit a domain's memory; pages that its devices need come on top."""
        kib = memory_bytes // _KIB + _SLACK_KIB
        self._do("limit the memory", lambda handle: self._lib.xo_set_memory_max(handle, domid, kib))

    @override
    def build(self, domid: int, nature: Nature, loaded: Loaded, ports: Ports) -> Rings:
        """Put a kernel into a domain. Errors: `XenError` with the step that failed."""
        ffi, kernel = self._ffi, loaded.kernel
        tables = acpi_tables(nature.vcpus) if nature.container is Container.PVH else b""
        acpi = ffi.new("uint8_t[]", tables)
        path, line = (
            ffi.new("char[]", os.fsencode(kernel.path)),
            ffi.new("char[]", kernel.command_line.encode()),
        )
        ramdisk = ffi.NULL if kernel.ramdisk is None else ffi.new("char[]", os.fsencode(kernel.ramdisk))
        starts = b"" if kernel.firmware is None else Path(kernel.firmware).read_bytes()
        firmware = ffi.new("uint8_t[]", starts)
        guest = ffi.new(
            "xo_guest *",
            {
                "container": self._number_of(nature.container),
                "kernel": path,
                "ramdisk": ramdisk,
                "command_line": line,
                "firmware": firmware,
                "firmware_size": len(starts),
                "acpi": acpi,
                "acpi_at": ACPI_AT,
                "acpi_size": len(tables),
                "has_acpi": loaded.has_acpi,
                "vcpus": nature.vcpus,
                "vcpus_online": loaded.vcpus_online,
                "memory_mib": loaded.memory_mib,
                "video_mib": nature.video_mib,
                "store_port": ports.store,
                "console_port": ports.console,
            },
        )
        self._do(
            lambda: f"build: {self._text(guest.step)}",
            lambda handle: self._lib.xo_build(handle, domid, guest),
        )
        return Rings(ports.store, int(guest.store_frame), ports.console, int(guest.console_frame))

    @override
    def set_weight(self, domid: int, weight: int, cap: int) -> None:
        """How much of the CPUs a domain gets when they are scarce, and how much at most (percent; 0: all)."""
        self._do("set the weight", lambda handle: self._lib.xo_set_weight(handle, domid, weight, cap))

    @override
    def set_affinity(self, domid: int, vcpu: int, cpus: Sequence[int], *, soft: bool = False) -> None:
        """Bind a vCPU to CPUs; `soft`: it had rather run there. Its domain's memory will be theirs, too."""
        bitmap = _bitmap(cpus)
        self._do(
            "set the affinity",
            lambda handle: self._lib.xo_set_affinity(handle, domid, vcpu, bitmap, len(bitmap), soft),
        )

    @override
    def give(self, domid: int, device: HostDevice) -> None:
        """Let a domain, and nobody else, use a PCI device. Errors: `XenError`, nothing of it is given."""
        try:
            self._do(
                "assign the PCI device", lambda handle: self._lib.xo_assign(handle, domid, device.number)
            )
            self._permit(domid, device, allow=True)
        except XenError:
            self.take(domid, device)
            raise

    @override
    def take(self, domid: int, device: HostDevice) -> None:
        """Let it use the device no more; it did not, nothing to do."""
        with suppress(XenError):  # what was not permitted is not forbidden
            self._permit(domid, device, allow=False)
        with suppress(XenError):
            self._do(
                "take the PCI device", lambda handle: self._lib.xo_deassign(handle, domid, device.number)
            )

    def _permit(self, domid: int, device: HostDevice, *, allow: bool) -> None:
        def ranged(call: Any, first: int, count: int) -> Callable[[Any], int]:
            return lambda handle: int(call(handle, domid, first, count, allow))

        for first, count in device.ports:
            self._do("permit ports", ranged(self._lib.xo_ports, first, count))
        for first, count in device.frames:
            self._do("permit memory", ranged(self._lib.xo_frames, first, count))
        if device.interrupt:
            self._do("permit the interrupt", ranged(self._lib.xo_interrupts, device.interrupt, 1))

    @override
    def set_uuid(self, domid: int, uuid: UUID) -> None:
        """Give a domain another id."""
        handle_bytes = self._ffi.new("uint8_t[]", uuid.bytes)
        self._do("rename", lambda handle: self._lib.xo_set_handle(handle, domid, handle_bytes))

    @override
    def has_drivers(self, domid: int) -> bool:
        """Whether an HVM guest has drivers of Xen's."""
        return bool(
            self._do("tell of the guest's drivers", lambda handle: self._lib.xo_has_drivers(handle, domid))
        )

    @override
    def press_power(self, domid: int) -> None:
        """Press its power button; its guest does what it likes."""
        self._do("press the power button", lambda handle: self._lib.xo_press_power(handle, domid))

    @override
    def press_sleep(self, domid: int) -> None:
        """Press its sleep button; its guest does what it likes."""
        self._do("press the sleep button", lambda handle: self._lib.xo_press_sleep(handle, domid))

    @override
    def is_asleep(self, domid: int) -> bool:
        """Whether an HVM guest sleeps in its memory (ACPI S3)."""
        return bool(
            self._do("tell whether the guest sleeps", lambda handle: self._lib.xo_is_asleep(handle, domid))
        )

    @override
    def set_asleep(self, domid: int, *, asleep: bool) -> None:
        """Have its vCPUs sleep, or begin where its firmware does; they do so already, nothing to do."""
        self._do("send to sleep", lambda handle: self._lib.xo_set_asleep(handle, domid, asleep))

    @override
    def shut_down(self, domid: int, reason: ShutdownReason) -> None:
        """Stop a domain, whatever its guest does."""
        self._do("shut down", lambda handle: self._lib.xo_shutdown(handle, domid, int(reason)))

    @override
    def pause(self, domid: int) -> None:
        """Stop the vCPUs. The hypervisor counts: once more takes one more `unpause`."""
        self._do("pause", lambda handle: self._lib.xo_pause(handle, domid))

    @override
    def unpause(self, domid: int) -> None:
        """Let the vCPUs run."""
        self._do("unpause", lambda handle: self._lib.xo_unpause(handle, domid))

    @override
    def resume(self, domid: int) -> None:
        """Let a domain go on that has suspended itself."""
        self._do("resume", lambda handle: self._lib.xo_resume(handle, domid))

    @override
    def destroy(self, domid: int) -> None:
        """Unmake a domain; there is none, nothing to do."""
        try:
            self._do("destroy", lambda handle: self._lib.xo_destroy(handle, domid))
        except XenError as error:
            if not error.is_no_such_domain:
                raise

    def save(self, domid: int, image: int, asking: tuple[int, int], *, live: bool) -> None:
        """Write a domain to an open file; asks by a byte to have it suspended, and waits for `y`, or not.

        `live`: its memory is written while it runs, and what it has changed meanwhile again.
        """
        self._do("save", lambda handle: self._lib.xo_save(handle, image, domid, live, *asking))

    def restore(self, domid: int, image: int, ports: Ports) -> Rings:
        """Read a domain's memory and vCPUs from an open file, up to the end of its record."""
        restored = self._ffi.new("xo_restored *", {"store_port": ports.store, "console_port": ports.console})
        self._do("restore", lambda handle: self._lib.xo_restore(handle, image, domid, restored))
        return Rings(ports.store, int(restored.store_frame), ports.console, int(restored.console_frame))

    def _list(self, first: int, count: int) -> list[DomainInfo]:
        domains = self._ffi.new("xo_domain[]", count)
        found = self._do(
            "tell of its domains", lambda handle: self._lib.xo_domains(handle, first, count, domains)
        )
        return [self._domain_info(domains[index]) for index in range(found)]

    def _domain_info(self, found: Any) -> DomainInfo:
        return DomainInfo(
            domid=found.domid,
            uuid=UUID(bytes=bytes(found.handle)),
            memory_bytes=found.pages * PAGE_BYTES,
            memory_bytes_max=found.pages_max * PAGE_BYTES,
            cpu_time_ns=found.cpu_time_ns,
            is_paused=bool(found.flags & self._lib.XO_PAUSED),
            is_dying=bool(found.flags & self._lib.XO_DYING),
            stopped=found.shutdown_reason if found.flags & self._lib.XO_SHUTDOWN else None,
        )

    def _number_of(self, container: Container) -> int:
        return int(getattr(self._lib, f"XO_{container}"))

    def _port(self, domid: int) -> int:
        return self._do("allocate a port", lambda handle: self._lib.xo_allocate_port(handle, domid))


def _bitmap(cpus: Sequence[int]) -> bytes:
    bits = 0
    for cpu in cpus:
        bits |= 1 << cpu
    return bits.to_bytes(max(1, (bits.bit_length() + 7) // 8), "little")
