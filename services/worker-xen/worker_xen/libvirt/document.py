"""Document: a domain, a disk, an interface on Xen as libvirt's XML, from values alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.refusals import bridge_of
from schema.fault import unimplemented
from schema.objects.vbd import VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import Bios, DirectBoot, Hvm, Pv, Pvh, PvInfo, PvInPvh, StandardVga, Vm
from virt.mark import mark
from virt.xml import Element, attribute, node

from worker_xen.scheduler_params import bound_to
from worker_xen.xenlight.config import KIB, is_given
from worker_xen.xenlight.machine import Disk, Domain, Nic

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""Libvirt names files by a domain's name, and refuses others."""

_USUAL_MTU = 1500

_BOOT_WORDS = {"c": "hd", "d": "cdrom", "n": "network"}
"""Libvirt's words for what a BIOS tries."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a domain's document says besides what the domain is like."""

    instance: str
    vm: str
    cpus: int
    """How many the host has."""


def domain_name(domain: Domain, vm: str) -> str:
    """What operators see in `virsh list` and `xl list`: the VM's id, where it can be a name.

    Libvirt gives no domain another one, so one that arrives has from the beginning what it will keep.
    """
    name = domain.final or vm
    return name if _NAME.fullmatch(name) else f"xenops-{domain.uuid}"


def domain_document(domain: Domain, around: Surroundings) -> Element:
    """The whole, with all that is plugged.

    A guest that powers itself off is gone. What is left of one that reboots or crashes, libvirt keeps: its
    events do not tell a reboot from a poweroff.

    Errors: `ImpossibleTextError`, `Unimplemented`.
    """
    vm = domain.vm
    return node(
        "domain",
        node("name", text=domain_name(domain, around.vm)),
        node("uuid", text=domain.uuid),
        node("metadata", mark(around.instance, around.vm, domain.life)),
        node("memory", text=str(vm.memory_static_max // KIB), unit="KiB"),
        node("currentMemory", text=str(domain.memory_target_bytes // KIB), unit="KiB"),
        node("vcpu", text=str(max(vm.vcpu_max, vm.vcpus)), current=domain.vcpus),
        *_binding(vm, around.cpus),
        node("os", *_booting(vm)),
        *_features(vm),
        _clock(vm),
        node("on_poweroff", text="destroy"),
        node("on_reboot", text="preserve"),
        node("on_crash", text="preserve"),
        node("devices", *_devices(domain)),
        type="xen",
    )


def refuse_unless_sayable(vm: Vm) -> None:
    """Errors: `Unimplemented`, for what of a VM libvirt has no words."""
    list(_booting(vm))


def disk_node(vm: Vm, disk: Disk) -> Element:
    """A disk or a drive.

    Where no device model emulates drives, what is in one is a disk that cannot be written. One that is
    emulated is the device model's alone: libxl takes no other.
    """
    source, is_drive = disk.source, disk.vbd.ty is VbdType.CDROM
    is_emulated = isinstance(vm.ty, Hvm) and is_drive
    is_raw = source is not None and source.format == "raw"
    children = [
        node("driver", name="phy" if is_raw and not is_emulated else "qemu", type=_format(disk)),
        node("target", dev=disk.name, bus="ide" if disk.is_ide else "xen"),
    ]
    if source is not None:
        children.append(node("source", file=source.path))
    if is_drive or disk.vbd.mode is VbdMode.READ_ONLY:
        children.append(node("readonly"))
    return node("disk", *children, type="file", device="cdrom" if is_emulated else "disk")


def nic_node(nic: Nic) -> Element:
    """An interface on a bridge of dom0, whose end Xen names. Errors: `Unimplemented`."""
    vif = nic.vif
    children = [
        node("mac", address=vif.mac),
        node("source", bridge=bridge_of(vif.backend)),
        *_rate(vif),
    ]
    if vif.mtu != _USUAL_MTU:
        children.append(node("mtu", size=vif.mtu))
    return node("interface", *children, type="bridge")


def console_of(document: Element) -> str | None:
    """The terminal of a domain that libvirt has; None: it has none yet."""
    return attribute(document, "./devices/serial/source", "path") or attribute(
        document, "./devices/console", "tty"
    )


def screen_of(document: Element) -> int | None:
    """The port of a domain's VNC; None: it has none."""
    port = int(attribute(document, "./devices/graphics[@type='vnc']", "port") or -1)
    return port if port > 0 else None


def _binding(vm: Vm, cpus: int) -> Iterator[Element]:
    """The CPUs that its owner allows."""
    masks = bound_to(vm, cpus)
    if masks:
        words = (",".join(str(cpu) for cpu in mask) for mask in masks)
        yield node("cputune", *(node("vcpupin", vcpu=vcpu, cpuset=word) for vcpu, word in enumerate(words)))


def _booting(vm: Vm) -> Iterator[Element]:
    match vm.ty:
        case Hvm():
            yield from _firmware(vm.ty)
        case Pv(info=info):
            yield node("type", text="linux", arch="x86_64", machine="xenpv")
            yield from _kernel(info)
        case Pvh(info=info):
            yield node("type", text="xenpvh", arch="x86_64", machine="xenpvh")
            yield from _kernel(info)
        case PvInPvh():
            raise unimplemented("VM.start of PV in PVH")


def _kernel(info: PvInfo) -> Iterator[Element]:
    if not isinstance(info.boot, DirectBoot):
        raise unimplemented("VM.start with a boot loader")
    boot = info.boot.boot
    yield node("kernel", text=boot.kernel)
    if boot.ramdisk is not None:
        yield node("initrd", text=boot.ramdisk)
    yield node("cmdline", text=boot.cmdline)


def _firmware(ty: Hvm) -> Iterator[Element]:
    if not isinstance(ty.info.firmware, Bios):
        raise unimplemented("VM.start with UEFI firmware")
    if ty.info.tpm is not None:
        raise unimplemented("VM.start with a TPM")
    yield node("type", text="hvm", arch="x86_64", machine="xenfv")
    for letter in dict.fromkeys(ty.info.boot_order or "cd"):
        if letter in _BOOT_WORDS:
            yield node("boot", dev=_BOOT_WORDS[letter])


def _features(vm: Vm) -> Iterator[Element]:
    if isinstance(vm.ty, Hvm):
        info = vm.ty.info
        words = [node("acpi")] if info.acpi else []
        hap = node("hap", state="on" if info.hap else "off")
        yield node("features", *words, node("apic"), node("pae"), hap)


def _clock(vm: Vm) -> Element:
    if isinstance(vm.ty, Pv):
        return node("clock", offset="utc")
    return node("clock", node("timer", name="tsc", mode="native"), offset="utc")


def _devices(domain: Domain) -> Iterator[Element]:
    for disk in domain.disks:
        if disk.activated and is_given(domain.vm, disk):
            yield disk_node(domain.vm, disk)
    for nic in domain.nics:
        yield nic_node(nic)
    if not isinstance(domain.vm.ty, Hvm):
        yield node("console", node("target", type="xen", port=0), type="pty")
        return
    info = domain.vm.ty.info
    yield node("serial", node("target", port=0), type="pty")
    yield node("console", node("target", type="serial", port=0), type="pty")
    yield node("graphics", type="vnc", port=-1, autoport="yes", listen=info.vnc_ip or "127.0.0.1")
    yield node("video", node("model", type="vga" if isinstance(info.video, StandardVga) else "cirrus"))


def _format(disk: Disk) -> str:
    return "raw" if disk.source is None else disk.source.format


def _rate(vif: Vif) -> Iterator[Element]:
    """KiB a second; libvirt knows no slices but its own."""
    if vif.rate is not None:
        yield node("bandwidth", node("outbound", average=vif.rate[0]))
