"""Command: the command line of a domain's QEMU, from values alone."""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schema.objects.vm import DirectBoot, Hvm, StandardVga, Vm

from worker_kvm.accelerator import Accelerator
from worker_kvm.qemu.devices import (
    Words,
    block_node,
    boot_indexes,
    disk_device,
    is_read_only,
    netdev,
    nic_device,
)
from worker_kvm.qemu.firmware import UefiFiles
from worker_kvm.qemu.machine import NIC_PORTS, Domain

BALLOON = "balloon"
"""The balloon's id in QEMU."""

MIB = 1 << 20

_TCG_CACHE_MIB = 128
"""Translated code for one guest; QEMU's own choice is an eighth of the host's memory each."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where a domain's QEMU is reached: one directory for each domain."""

    directory: Path

    @property
    def monitor(self) -> Path:
        """QMP."""
        return self.directory / "qmp"

    @property
    def console(self) -> Path:
        """The serial console."""
        return self.directory / "console"

    @property
    def screen(self) -> Path:
        """VNC."""
        return self.directory / "vnc"

    @property
    def log(self) -> Path:
        """What QEMU says, and why the guest ended."""
        return self.directory / "log"


@dataclass(frozen=True, slots=True)
class Inherited:
    """What QEMU is given: its monitor and taps by device id, as open files; UEFI; perhaps a state, later."""

    monitor: int
    taps: Mapping[str, int]
    uefi: UefiFiles | None = None
    awaits_state: bool = False


def has_screen(vm: Vm) -> bool:
    """Whether the VM has a framebuffer, beside its text console."""
    return True if isinstance(vm.ty, Hvm) else vm.ty.info.framebuffer


def command_line(
    domain: Domain, accelerator: Accelerator, sockets: Sockets, inherited: Inherited
) -> list[str]:
    """All arguments, without the program. The domain waits, stopped, for its first `cont`.

    Whatever ends a guest pauses QEMU instead of ending it, so that it can be told apart, and the trace in
    QEMU's log says which it was even when nobody listened.
    """
    return [
        *_identity(domain),
        *_machine(domain, accelerator, inherited.uefi),
        *_ways_in(domain.vm, sockets, inherited.monitor),
        *_boot(domain.vm),
        *_devices(domain, inherited.taps),
        *_sandbox(),
        *(("-incoming", "defer") if inherited.awaits_state else ()),
    ]


def _identity(domain: Domain) -> list[str]:
    vm = domain.vm
    words = ["-name", f"guest={_escaped(vm.id)},debug-threads=on", "-no-user-config", "-nodefaults", "-S"]
    return [*words, "-uuid", vm.id] if _is_uuid(vm.id) else words


def _machine(domain: Domain, accelerator: Accelerator, uefi: UefiFiles | None) -> list[str]:
    vm = domain.vm
    firmware = "" if uefi is None else ",pflash0=uefi-code,pflash1=uefi-variables"
    acceleration = "kvm" if accelerator == "kvm" else f"tcg,tb-size={_TCG_CACHE_MIB}"
    return [
        *(_flash(uefi) if uefi is not None else ()),
        *("-machine", f"{domain.machine or 'q35'},vmport=off{firmware}", "-accel", acceleration),
        *("-cpu", "host" if accelerator == "kvm" else "max"),
        *("-smp", f"cpus={vm.vcpus},maxcpus={max(vm.vcpu_max, vm.vcpus)}"),
        *("-m", f"{-(-vm.memory_static_max // MIB)}M"),
        *("-rtc", "base=utc", "-boot", "strict=on"),
        *("-action", "reboot=shutdown,shutdown=pause,panic=pause", "-device", "pvpanic"),
        *("-trace", "enable=qemu_system_shutdown_request"),
    ]


def _flash(uefi: UefiFiles) -> Iterator[str]:
    for name, path, read_only in (("code", uefi.code, True), ("variables", uefi.variables, False)):
        file = {"driver": "file", "filename": str(path)}
        node = {"driver": "raw", "node-name": f"uefi-{name}", "read-only": read_only, "file": file}
        yield from ("-blockdev", json.dumps(node))


def _ways_in(vm: Vm, sockets: Sockets, monitor: int) -> Iterator[str]:
    yield from ("-chardev", f"socket,id=monitor,fd={monitor},server=on,wait=off")
    yield from ("-mon", "chardev=monitor,mode=control")
    yield from ("-chardev", f"socket,id=console,path={_escaped(sockets.console)},server=on,wait=off")
    yield from ("-serial", "chardev:console")
    if not has_screen(vm):
        yield from ("-display", "none")
        return
    card = "VGA" if isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.video, StandardVga) else "cirrus-vga"
    yield from ("-vnc", f"unix:{_escaped(sockets.screen)}", "-device", card)


def _boot(vm: Vm) -> Iterator[str]:
    """A kernel given; or what the firmware finds on disks, also for a guest with a boot loader of its own."""
    if isinstance(vm.ty, Hvm) or not isinstance(vm.ty.info.boot, DirectBoot):
        return
    boot = vm.ty.info.boot.boot
    yield from ("-kernel", boot.kernel)
    if boot.ramdisk is not None:
        yield from ("-initrd", boot.ramdisk)
    if boot.cmdline:
        yield from ("-append", boot.cmdline)


def _devices(domain: Domain, taps: Mapping[str, int]) -> Iterator[str]:
    """Interfaces have a root port each, which takes them also later; disks share one controller."""
    for port in range(NIC_PORTS):
        yield from _device({"driver": "pcie-root-port", "id": f"port{port}", **_port_place(port)})
    yield from _device({"driver": "virtio-scsi-pci", "id": "scsi", "addr": "0x4"})
    yield from _device({"driver": "virtio-balloon-pci", "id": BALLOON, "addr": "0x5"})
    disks = [disk for disk in domain.disks if disk.activated]
    indexes = boot_indexes(domain.vm, disks, domain.nics)
    for disk in disks:
        if disk.source is not None:
            node = block_node(disk.slot, disk.source, read_only=is_read_only(disk))
            yield from ("-blockdev", json.dumps(node))
        yield from _device(disk_device(disk, indexes.get(disk.slot.device)))
    for nic in domain.nics:
        words = netdev(nic, str(taps.get(nic.device, "")))
        yield from ("-netdev", ",".join([str(words.pop("type")), *(f"{k}={v}" for k, v in words.items())]))
        yield from _device(nic_device(nic, indexes.get(nic.device)))


def _port_place(port: int) -> Words:
    """All on one slot of the root bus, a function each."""
    return {"chassis": port + 1, "slot": port, "addr": f"0x3.{port:#x}", "multifunction": port == 0}


def _device(words: Words) -> tuple[str, str]:
    return "-device", json.dumps(words)


def _sandbox() -> tuple[str, str]:
    """QEMU may not start programs, gain rights or change its limits, whatever a guest makes of it."""
    return "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def _escaped(value: Path | str) -> str:
    """A value among QEMU's options, which commas divide."""
    return str(value).replace(",", ",,")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
