"""Connection: what a libvirtd does, in our words. Libvirt ends here, in `link` and in `meaning`."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import libvirt  # type: ignore[import-untyped]
import libvirt_qemu  # type: ignore[import-untyped]

from virt.link import Link, Listener
from virt.meaning import KIB, Handle, info_of, version
from virt.values import (
    DomainInfo,
    Node,
    NoDomainError,
    VirtError,
)

_LOG = logging.getLogger(__name__)

JOB_TIMEOUT_S = 60.0
"""How long what was broken off may take to end; storage that hangs keeps it."""

_JOB_POLL_S = 0.05

T = TypeVar("T")


class Connection(Link):
    """A connection to one libvirtd; its methods may be called from any thread.

    All of them raise `VirtGoneError` when it is not reached, and `VirtError` with its words when it says no;
    those on a domain raise `NoDomainError` when there is none of that UUID.
    """

    def __init__(self, uri: str, mark: str, listener: Listener) -> None:
        """`mark` is the XML namespace of our element in a domain's metadata."""
        super().__init__(uri, listener)
        self._mark = mark

    def versions(self) -> tuple[str, str]:
        """Libvirt's, and its hypervisor's."""
        numbers = self.call("tell its versions", lambda handle: (handle.getLibVersion(), handle.getVersion()))
        return version(numbers[0]), version(numbers[1])

    def node(self) -> Node:
        """The host."""
        _, memory_mib, cpus, mhz, nodes, sockets, cores, threads = self.call(
            "tell how its host is", lambda handle: handle.getInfo()
        )
        return Node(memory_mib, cpus, mhz, nodes, sockets, cores, threads)

    def free_memory_bytes(self) -> int:
        """What the host has left for domains."""
        return self.call("tell how much memory is free", lambda handle: int(handle.getFreeMemory()))

    def capabilities(self) -> str:
        """What the host can, as XML."""
        return self.call("tell what its host can", lambda handle: str(handle.getCapabilities()))

    def domains(self) -> list[DomainInfo]:
        """All that run, also those of others."""

        def listed(handle: Handle) -> list[DomainInfo]:
            found = []
            for domain in handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                with suppress(libvirt.libvirtError):  # it has ended meanwhile
                    found.append(info_of(domain, self._mark))
            return found

        return self.call("list its domains", listed)

    def find(self, uuid: str) -> DomainInfo | None:
        """A domain; None when there is none."""
        try:
            return self._on(uuid, "tell how it is", lambda domain: info_of(domain, self._mark))
        except NoDomainError:
            return None

    def create(self, document: str, *, resets_firmware: bool = False) -> None:
        """Start a domain that is gone once it ends; its vCPUs wait. Its firmware may begin anew."""
        flags = libvirt.VIR_DOMAIN_START_PAUSED
        if resets_firmware:
            flags |= libvirt.VIR_DOMAIN_START_RESET_NVRAM
        self.call("start the domain", lambda handle: handle.createXML(document, flags))

    def forget(self, uuid: str, document: str) -> None:
        """Remove what libvirt keeps of a domain beyond its end: firmware's variables and its TPM's state.

        It does so only with one that is defined, and so it is for a moment, unless one has that UUID.
        """
        flags = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_TPM

        def forgotten(handle: Handle) -> None:
            try:
                handle.lookupByUUIDString(uuid)
            except libvirt.libvirtError:
                handle.defineXML(document).undefineFlags(flags)

        self.call("forget what it keeps of a domain", forgotten)

    def guest_info(self, uuid: str) -> Mapping[str, Any]:
        """What the agent in its guest tells of system, host name and interfaces, in libvirt's flat names."""
        kinds = (
            libvirt.VIR_DOMAIN_GUEST_INFO_OS
            | libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME
            | libvirt.VIR_DOMAIN_GUEST_INFO_INTERFACES
        )
        return self._on(uuid, "ask its agent", lambda domain: dict(domain.guestInfo(kinds, 0)))

    def ask_agent(self, uuid: str, words: str, timeout_s: int) -> str:
        """Have the agent in its guest answer a command of its own, both as JSON."""
        return self._on(
            uuid,
            "have its agent answer",
            lambda domain: str(libvirt_qemu.qemuAgentCommand(domain, words, timeout_s, 0)),
        )

    def memory_stats(self, uuid: str, period_s: int) -> Mapping[str, int]:
        """What its balloon's driver counts, in KiB; libvirt asks it every `period_s` from now on."""

        def stats(domain: Handle) -> Mapping[str, int]:
            domain.setMemoryStatsPeriod(period_s, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            return dict(domain.memoryStats())

        return self._on(uuid, "tell its guest's memory", stats)

    def put_to_sleep(self, uuid: str) -> None:
        """Have its agent send the guest to sleep in its memory."""
        target = libvirt.VIR_NODE_SUSPEND_TARGET_MEM
        self._on(uuid, "send it to sleep", lambda domain: domain.pMSuspendForDuration(target, 0, 0))

    def wake(self, uuid: str) -> None:
        """Wake the guest that sleeps."""
        self._on(uuid, "wake it", lambda domain: domain.pMWakeup(0))

    def document(self, uuid: str) -> str:
        """Its XML as it is now."""
        return self._on(uuid, "describe it", lambda domain: str(domain.XMLDesc(0)))

    def suspend(self, uuid: str) -> None:
        """Stop its vCPUs."""
        self._on(uuid, "pause it", lambda domain: domain.suspend())

    def resume(self, uuid: str) -> None:
        """Let them run."""
        self._on(uuid, "unpause it", lambda domain: domain.resume())

    def press_power_button(self, uuid: str) -> None:
        """As a person would, by ACPI."""
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        self._on(uuid, "press its power button", lambda domain: domain.shutdownFlags(flags))

    def ask_shutdown(self, uuid: str, *, reboot: bool) -> None:
        """Ask its guest by what its hypervisor has for that, else by ACPI."""

        def ask(domain: Handle) -> None:
            domain.reboot(0) if reboot else domain.shutdownFlags(0)

        self._on(uuid, "ask it to reboot" if reboot else "ask it to shut down", ask)

    def set_scheduling(self, uuid: str, weight: int, cap: int) -> None:
        """Its share of the processors under credit2, in the hypervisor's units."""
        words = {"weight": weight, "cap": cap}
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(uuid, "schedule it", lambda domain: domain.setSchedulerParametersFlags(words, flags))

    def destroy(self, uuid: str) -> None:
        """End it at once; there is none, nothing to do."""
        with suppress(NoDomainError):
            self._on(uuid, "destroy it", lambda domain: domain.destroy())

    def set_memory(self, uuid: str, size_bytes: int) -> None:
        """Where its balloon shall go."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(uuid, "set its memory", lambda domain: domain.setMemoryFlags(size_bytes // KIB, flags))

    def set_vcpus(self, uuid: str, count: int) -> None:
        """How many vCPUs it has."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(uuid, f"give it {count} vCPUs", lambda domain: domain.setVcpusFlags(count, flags))

    def attach(self, uuid: str, device: str) -> None:
        """Give it a device."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(uuid, "attach a device", lambda domain: domain.attachDeviceFlags(device, flags))

    def update(self, uuid: str, device: str) -> None:
        """Change a device in place: the medium of a drive, by force; the bridge or cable of an interface."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE
        self._on(uuid, "change a device", lambda domain: domain.updateDeviceFlags(device, flags))

    def open_tray(self, uuid: str, alias: str) -> None:
        """Open the tray of a drive by QEMU's own monitor, whatever libvirt believes of it."""
        words = json.dumps({"execute": "blockdev-open-tray", "arguments": {"id": alias, "force": True}})
        self._on(uuid, "open a tray", lambda domain: libvirt_qemu.qemuMonitorCommand(domain, words, 0))

    def disk_bytes(self, uuid: str, target: str) -> int:
        """How large a disk is for its guest."""
        return self._on(uuid, "tell a disk's size", lambda domain: int(domain.blockInfo(target)[0]))

    def resize_disk(self, uuid: str, target: str, size_bytes: int) -> None:
        """Have its guest see a disk as so large."""
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._on(uuid, "resize a disk", lambda domain: domain.blockResize(target, size_bytes, flags))

    def set_throttle(self, uuid: str, target: str, limits: Mapping[str, int]) -> None:
        """Hold a disk, by its target, to what `<iotune>` calls so; 0 is no limit."""
        self._on(uuid, "limit a disk", lambda domain: domain.setBlockIoTune(target, dict(limits), 0))

    def detach(self, uuid: str, alias: str) -> None:
        """Ask the guest to let go of a device; an event tells whether it has."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(uuid, "detach a device", lambda domain: domain.detachDeviceAlias(alias, flags))

    def change_medium(self, uuid: str, drive: str) -> None:
        """Change the medium of a drive, where the hypervisor knows no force."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(uuid, "change a medium", lambda domain: domain.updateDeviceFlags(drive, flags))

    def remove(self, uuid: str, device: str) -> None:
        """Take a device away, named by its description: asked first, then by force."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._on(uuid, "detach a device", lambda domain: domain.detachDeviceFlags(device, flags))

    def save(self, uuid: str, path: str) -> None:
        """Write it to a file and end it. Errors: `AbortedError`; on any error it goes on as before."""
        self._on(uuid, f"save it to {path}", lambda domain: domain.saveFlags(path, None, 0))

    def abort(self, uuid: str) -> None:
        """Break off what `save` does; too late or too early, nothing happens."""
        with suppress(VirtError):
            self._on(uuid, "abort what it does", lambda domain: domain.abortJob())

    def is_busy(self, uuid: str) -> bool:
        """Whether it does something that takes long, as `save` does; there is none: no."""
        return self._has_job(uuid)

    def end_job(self, uuid: str) -> None:
        """Break off what somebody else had it do, and wait until that has ended, one way or the other."""
        self.abort(uuid)
        end = time.monotonic() + JOB_TIMEOUT_S
        while self._has_job(uuid) and time.monotonic() < end:
            time.sleep(_JOB_POLL_S)

    def job_progress(self, uuid: str) -> float:
        """How far `save` has come, 0..1; nothing under way: 0."""
        try:
            stats = self._on(uuid, "tell how far it has come", lambda domain: dict(domain.jobStats()))
        except VirtError:
            return 0.0
        return float(stats.get("data_processed", 0)) / max(1.0, float(stats.get("data_total", 0)))

    def saved_document(self, path: str) -> str:
        """The XML in a saved domain's file."""
        return self.call(f"read {path}", lambda handle: str(handle.saveImageGetXMLDesc(path, 0)))

    def restore(self, path: str, document: str | None, *, paused: bool) -> None:
        """Start what was saved, described anew; None: as the file describes it."""
        flags = libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else libvirt.VIR_DOMAIN_SAVE_RUNNING
        self.call(f"restore {path}", lambda handle: handle.restoreFlags(path, document, flags))

    def _has_job(self, uuid: str) -> bool:
        try:
            kind = self._on(uuid, "tell what it does", lambda domain: domain.jobInfo()[0])
        except NoDomainError:
            return False
        return bool(kind != libvirt.VIR_DOMAIN_JOB_NONE)

    def _on(self, uuid: str, what: str, act: Callable[[Handle], T]) -> T:
        return self.call(what, lambda handle: act(handle.lookupByUUIDString(uuid)))
