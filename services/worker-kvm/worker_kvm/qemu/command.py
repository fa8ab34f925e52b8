"""Command: the command line of a domain's QEMU, from values alone."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schema.objects.vm import DirectBoot, Hvm, StandardVga, Vm

from worker_kvm.accelerator import Accelerator
from worker_kvm.clock import UTC_BASE
from worker_kvm.hostdevices import PORTS
from worker_kvm.kind import Kind
from worker_kvm.qemu.devices import (
    MMIO,
    block_node,
    boot_indexes,
    disk_device,
    is_read_only,
    netdev,
    nic_device,
    usb_controller,
    virtio,
)
from worker_kvm.qemu.firmware import wants_secure_boot
from worker_kvm.qemu.machine import Domain
from worker_kvm.qemu.open_files import Given, Words, content_words

BALLOON = "balloon"
"""The balloon's id in QEMU."""

MIB = 1 << 20

OWN, SCREEN = "own", "vnc"
"""QEMU's directory, and its socket in there."""

AGENT = "agent"
"""The id of the agent's port, and of its socket."""

UEFI_CODE, UEFI_VARIABLES = "uefi-code", "uefi-variables"
"""Nodes of the firmware."""

ENVIRONMENT: Mapping[str, str] = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2"}
"""What QEMU finds beside `PATH`: its own memory comes in pages of 2 MiB, so that it starts sooner.

Its threads share what they allocate from, for each that has a place of its own begins a page. See ADR 98.
"""

_TCG_CACHE_MIB = 128
"""Translated code for one guest; QEMU's own choice is an eighth of the host's memory each."""

_OPTIONS: Mapping[Kind, str] = {
    Kind.Q35: ",vmport=off",
    Kind.PC: ",vmport=off",
    Kind.MICROVM: ",acpi=on,rtc=on,ioapic2=off",
}
"""Of a machine.

By ACPI a microvm's guest finds its devices, and is told to power off. Of a second IOAPIC QEMU 7.2 brings its
guests no interrupts where it emulates; without it there are eight places for devices.
"""

_ONLY_FIRMWARE_WRITES = ("-global", "driver=cfi.pflash01,property=secure,value=on")
"""The firmware's code runs in SMM, and writes variables there: the system cannot enrol keys of its own."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where a domain's QEMU is reached: one directory for each domain, in it one of QEMU's own."""

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
    def agent(self) -> Path:
        """The agent in the guest."""
        return self.directory / AGENT

    @property
    def screen(self) -> Path:
        """VNC."""
        return self.own / SCREEN

    @property
    def own(self) -> Path:
        """Where QEMU runs, and all that it may write to by name."""
        return self.directory / OWN

    @property
    def log(self) -> Path:
        """What QEMU says, and why the guest ended."""
        return self.directory / "log"

    @property
    def tpm_log(self) -> Path:
        """What swtpm says."""
        return self.directory / "tpm.log"


@dataclass(frozen=True, slots=True)
class Inherited:
    """What QEMU is given as open files, because it opens none by itself; perhaps a state, later.

    `taps` are by device id, `contents` are disks' by node, made of `files`: these are the descriptors of
    the sets that they are numbered by, each with the node that it is for. `connections` are to NBD servers.
    """

    monitor: int
    console: int
    agent: int | None = None
    tpm: int | None = None
    taps: Mapping[str, int] = field(default_factory=dict)
    kernel: int | None = None
    ramdisk: int | None = None
    files: Sequence[tuple[int, str]] = ()
    connections: Sequence[int] = ()
    contents: Mapping[str, Given] = field(default_factory=dict)
    awaits_state: bool = False

    @property
    def descriptors(self) -> list[int]:
        """All of them."""
        perhaps = (self.agent, self.tpm, self.kernel, self.ramdisk)
        there = [descriptor for descriptor in perhaps if descriptor is not None]
        files = (found for found, _ in self.files)
        return [self.monitor, self.console, *self.taps.values(), *there, *files, *self.connections]


def has_screen(vm: Vm, kind: Kind = Kind.Q35) -> bool:
    """Whether the VM has a framebuffer, beside its text console; a microvm has no place for one."""
    if kind is Kind.MICROVM:
        return False
    return True if isinstance(vm.ty, Hvm) else vm.ty.info.framebuffer


def memory_mib(vm: Vm) -> int:
    """What its machine has, which is whole."""
    return -(-vm.memory_static_max // MIB)


def command_line(
    domain: Domain, accelerator: Accelerator, inherited: Inherited, clock: str = UTC_BASE
) -> list[str]:
    """All arguments, without the program. The domain waits, stopped, for its first `cont`.

    Its `clock` begins as `clock.base` says.

    QEMU runs in its own directory (see `Sockets`), where it makes the one socket that it is given by name.

    Whatever ends a guest pauses QEMU instead of ending it, so that it can be told apart, and the trace in
    QEMU's log says which it was even when nobody listened.
    """
    return [
        *_identity(domain),
        *_files(inherited.files),
        *_machine(domain, accelerator, inherited.contents, clock),
        *_ways_in(domain, inherited),
        *_boot(domain.vm, inherited),
        *_devices(domain, inherited),
        *_sandbox(),
        *(("-incoming", "defer") if inherited.awaits_state else ()),
    ]


def _identity(domain: Domain) -> list[str]:
    vm = domain.vm
    words = ["-name", f"guest={_escaped(vm.id)},debug-threads=on", "-no-user-config", "-nodefaults", "-S"]
    return [*words, "-uuid", vm.id] if _is_uuid(vm.id) else words


def _files(files: Sequence[tuple[int, str]]) -> Iterator[str]:
    for number, (descriptor, node) in enumerate(files, 1):
        yield from ("-add-fd", f"fd={descriptor},set={number},opaque={node}")


def _machine(
    domain: Domain, accelerator: Accelerator, contents: Mapping[str, Given], clock: str
) -> list[str]:
    vm = domain.vm
    firmware = f",pflash0={UEFI_CODE},pflash1={UEFI_VARIABLES}" if UEFI_CODE in contents else ""
    if wants_secure_boot(vm):
        firmware += ",smm=on"
    acceleration = "kvm" if accelerator == "kvm" else f"tcg,tb-size={_TCG_CACHE_MIB}"
    return [
        *_flash(contents),
        *(_ONLY_FIRMWARE_WRITES if wants_secure_boot(vm) else ()),
        *("-machine", f"{domain.machine or domain.kind}{_OPTIONS[domain.kind]}{firmware}"),
        *("-accel", acceleration),
        *("-cpu", "host" if accelerator == "kvm" else "max"),
        *("-smp", f"cpus={domain.vcpus_of_start or vm.vcpus},maxcpus={_vcpus_max(domain)}"),
        *("-m", f"{memory_mib(vm)}M"),
        *("-rtc", f"base={clock}", "-boot", "strict=on"),
        *("-action", "reboot=shutdown,shutdown=pause,panic=pause", "-device", "pvpanic"),
        *("-trace", "enable=qemu_system_shutdown_request"),
    ]


def _vcpus_max(domain: Domain) -> int:
    """A microvm can be given none while it runs."""
    vm = domain.vm
    return vm.vcpus if domain.kind is Kind.MICROVM else max(vm.vcpu_max, vm.vcpus)


def _flash(contents: Mapping[str, Given]) -> Iterator[str]:
    for name in (UEFI_CODE, UEFI_VARIABLES):
        if name in contents:
            node = {"node-name": name, "read-only": name == UEFI_CODE, **content_words(contents[name])}
            yield from ("-blockdev", json.dumps(node))


def _ways_in(domain: Domain, inherited: Inherited) -> Iterator[str]:
    vm = domain.vm
    yield from ("-chardev", f"socket,id=monitor,fd={inherited.monitor},server=on,wait=off")
    yield from ("-mon", "chardev=monitor,mode=control")
    yield from ("-chardev", f"socket,id=console,fd={inherited.console},server=on,wait=off")
    yield from ("-serial", "chardev:console")
    if inherited.agent is not None:
        yield from ("-chardev", f"socket,id={AGENT},fd={inherited.agent},server=on,wait=off")
    if not has_screen(vm, domain.kind):
        yield from ("-display", "none")
        return
    card = "VGA" if isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.video, StandardVga) else "cirrus-vga"
    yield from ("-vnc", f"unix:{SCREEN}", "-device", card)


def _boot(vm: Vm, inherited: Inherited) -> Iterator[str]:
    """A kernel given; or what the firmware finds on disks, also for a guest with a boot loader of its own."""
    if isinstance(vm.ty, Hvm) or not isinstance(vm.ty.info.boot, DirectBoot):
        return
    boot = vm.ty.info.boot.boot
    if inherited.kernel is not None:
        yield from ("-kernel", f"/proc/self/fd/{inherited.kernel}")
    if inherited.ramdisk is not None:
        yield from ("-initrd", f"/proc/self/fd/{inherited.ramdisk}")
    if boot.cmdline:
        yield from ("-append", boot.cmdline)


def _devices(domain: Domain, inherited: Inherited) -> Iterator[str]:
    """Interfaces have a place each, which takes them also later; disks share one controller."""
    kind = domain.kind
    for port in range(PORTS if kind is Kind.Q35 else 0):
        yield from _device({"driver": "pcie-root-port", "id": f"port{port}", **_port_place(port)})
    yield from _device({"driver": virtio(kind, "scsi"), "id": "scsi", **_fixed(kind, 0)})
    yield from _device({"driver": virtio(kind, "balloon"), "id": BALLOON, **_fixed(kind, 1)})
    if domain.usb_port is not None:
        yield from _device(usb_controller(domain.usb_port, kind))
    yield from _agent_port(kind, inherited)
    yield from _tpm(inherited)
    disks = [disk for disk in domain.disks if disk.activated]
    indexes = boot_indexes(domain.vm, disks, domain.nics)
    for disk in disks:
        if disk.source is not None:
            node = block_node(disk.slot, inherited.contents[disk.slot.node], read_only=is_read_only(disk))
            yield from ("-blockdev", json.dumps(node))
        yield from _device(disk_device(disk, indexes.get(disk.slot.device)))
    for nic in domain.nics:
        words = netdev(nic, str(inherited.taps.get(nic.device, "")))
        yield from ("-netdev", ",".join([str(words.pop("type")), *(f"{k}={v}" for k, v in words.items())]))
        yield from _device(nic_device(nic, kind, indexes.get(nic.device)))


def _fixed(kind: Kind, number: int) -> Words:
    """The places of what each machine has."""
    return {"bus": f"{MMIO}.{number}"} if kind is Kind.MICROVM else {"addr": f"{4 + number:#x}"}


def _agent_port(kind: Kind, inherited: Inherited) -> Iterator[str]:
    if inherited.agent is not None:
        yield from _device({"driver": virtio(kind, "serial"), "id": "serial", **_fixed(kind, 2)})
        port = {"driver": "virtserialport", "id": AGENT, "bus": "serial.0", "nr": 1, "chardev": AGENT}
        yield from _device({**port, "name": "org.qemu.guest_agent.0"})


def _tpm(inherited: Inherited) -> Iterator[str]:
    if inherited.tpm is not None:
        yield from ("-chardev", f"socket,id=tpm-control,fd={inherited.tpm}")
        yield from ("-tpmdev", "emulator,id=tpm-state,chardev=tpm-control")
        yield from _device({"driver": "tpm-crb", "id": "tpm", "tpmdev": "tpm-state"})


def _port_place(port: int) -> Words:
    """All on one slot of the root bus, a function each."""
    return {"chassis": port + 1, "slot": port, "addr": f"0x3.{port:#x}", "multifunction": port == 0}


def _device(words: Words) -> tuple[str, str]:
    return "-device", json.dumps(words)


def _sandbox() -> tuple[str, str]:
    """QEMU may not start programs, gain rights or change its limits, whatever a guest makes of it."""
    return "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def _escaped(value: str) -> str:
    """A value among QEMU's options, which commas divide."""
    return value.replace(",", ",,")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
