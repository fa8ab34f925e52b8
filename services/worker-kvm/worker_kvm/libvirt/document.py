"""Document: a domain, a disk, an interface as libvirt's XML, from values alone."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.hosted.machine import Source
from engine.hosted.usb import HeldUsb
from engine.hosted.usbfs import UsbDevice
from schema.objects.network import LocalNetwork
from schema.objects.vbd import VbdMode, VbdType
from schema.objects.vm import DirectBoot, Hvm, StandardVga, Vm
from virt.mark import mark
from virt.xml import Element, node

from worker_kvm.accelerator import Accelerator
from worker_kvm.hostdevices import PORTS, USB_PORTS, HeldPci
from worker_kvm.kind import PC_SLOT, Kind
from worker_kvm.libvirt.machine import Disk, Domain, Nic
from worker_kvm.libvirt.persistent_state import loader_nodes, name_of, tpm_nodes
from worker_kvm.qemu.command import has_screen
from worker_kvm.qemu.devices import DEFAULT_BOOT_ORDER
from worker_kvm.qemu.firmware import wants_secure_boot
from worker_kvm.throttle import throttle_of

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
"""The namespace in which libvirt takes options for QEMU."""

_TCG_CACHE_MIB = 128
"""Translated code for one guest; QEMU's own choice is an eighth of the host's memory each."""

_SERIAL = re.compile(r"[A-Za-z0-9_.+-]{1,20}")
"""What libvirt and the guest's SCSI take for a disk's serial number."""

_SLOT_PORTS, _SLOT_SCSI, _SLOT_BALLOON, _SLOT_SERIAL, _SLOT_USB = 3, 4, 5, 6, 7
"""Places on the root bus."""

USB_CONTROLLER = "./devices/controller[@type='usb'][@model='qemu-xhci']"
"""Where a machine has one."""

CLOCK = "./clock[@offset='variable'][@basis='utc']"
"""Where a document says how far from UTC its guest's clock is; libvirt writes there what the guest sets."""

AGENT_PORT = "org.qemu.guest_agent.0"
"""The name of its port in the guest."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a domain's document says besides what the domain is like."""

    instance: str
    vm: str
    accelerator: Accelerator
    bridged: bool
    console: Path


def domain_document(domain: Domain, around: Surroundings) -> Element:
    """The whole. The domain is gone once its guest ends; QEMU's log then says by what.

    Errors: `ImpossibleTextError`.
    """
    vm = domain.vm
    return node(
        "domain",
        node("name", text=name_of(domain.uuid)),
        node("uuid", text=domain.uuid),
        node("metadata", mark(around.instance, around.vm, domain.life)),
        node("memory", text=str(vm.memory_static_max // 1024), unit="KiB"),
        node("currentMemory", text=str(domain.memory_target_bytes // 1024), unit="KiB"),
        node("vcpu", text=str(max(vm.vcpu_max, vm.vcpus)), current=vm.vcpus),
        system_node(vm, domain.kind),
        _features(around, is_secure=wants_secure_boot(vm)),
        node("cpu", mode="host-passthrough" if around.accelerator == "kvm" else "maximum"),
        node("clock", offset="variable", adjustment=domain.clock_base_s, basis="utc"),
        node("on_poweroff", text="destroy"),
        node("on_reboot", text="destroy"),
        node("on_crash", text="preserve"),
        node("devices", *_devices(domain, around)),
        options_node(),
        type=_type(around),
    )


def options_node() -> Element:
    """What QEMU is told that libvirt has no words for: to trace what a guest asks for."""
    return node(
        f"{{{QEMU}}}commandline",
        node(f"{{{QEMU}}}arg", value="-trace"),
        node(f"{{{QEMU}}}arg", value="enable=qemu_system_shutdown_request"),
    )


def system_node(vm: Vm, machine: str) -> Element:
    """A kernel given; or what the firmware finds on disks, also for a guest with a boot loader of its own."""
    kind = node("type", text="hvm", arch="x86_64", machine=machine)
    if isinstance(vm.ty, Hvm) or not isinstance(vm.ty.info.boot, DirectBoot):
        return node("os", kind, *loader_nodes(vm, is_secure=wants_secure_boot(vm)))
    boot = vm.ty.info.boot.boot
    children = [kind, node("kernel", text=boot.kernel)]
    if boot.ramdisk is not None:
        children.append(node("initrd", text=boot.ramdisk))
    if boot.cmdline:
        children.append(node("cmdline", text=boot.cmdline))
    return node("os", *children)


def disk_node(disk: Disk, boot_order: int | None = None) -> Element:
    """A disk.

    The format is always said: a guest that writes a header into its raw disk would choose which file of the
    host it reads next.
    """
    source, takes_media = disk.source, disk.vbd.ty is VbdType.CDROM
    children = [
        node("driver", name="qemu", type="raw" if source is None else source.format, discard="unmap"),
        node("target", dev=disk.target, bus=disk.bus),
        node("alias", name=disk.alias),
        _drive_place(disk),
    ]
    if source is not None:
        children.append(_source(source))
    if takes_media or disk.vbd.mode is VbdMode.READ_ONLY:
        children.append(node("readonly"))
    if not takes_media and _SERIAL.fullmatch(disk.vbd.id.device):
        children.append(node("serial", text=disk.vbd.id.device))
    limits = {name: rate for name, rate in asdict(throttle_of(disk.vbd)).items() if rate}
    if limits:
        children.append(node("iotune", *(node(name, text=str(rate)) for name, rate in limits.items())))
    kind = {"type": _kind(source), "device": "cdrom" if takes_media else "disk"}
    return node("disk", *children, *_order(boot_order), **kind)


def _kind(source: Source | None) -> str:
    if source is None or not (source.is_device or source.export is not None):
        return "file"
    return "block" if source.export is None else "network"


def _source(source: Source) -> Element:
    if source.export is None:
        return node("source", **{"dev" if source.is_device else "file": source.path})
    server = node("host", transport="unix", socket=source.path)
    return node("source", server, protocol="nbd", name=source.export)


def drive_node(drive: Disk) -> Element:
    """A drive, to be told which medium it holds: libvirt keeps its limits, and wants none said."""
    described = disk_node(drive)
    for limits in described.findall("iotune"):
        described.remove(limits)
    return described


def nic_node(
    nic: Nic, *, bridged: bool, place: Element | None = None, boot_order: int | None = None
) -> Element:
    """An interface; without a `place`, at any that is free."""
    vif = nic.vif
    children = [
        node("mac", address=vif.mac),
        node("model", type=nic.card),
        node("link", state="up" if vif.carrier else "down"),
        node("alias", name=nic.alias),
    ]
    if bridged:
        bridge = vif.backend.bridge if isinstance(vif.backend, LocalNetwork) else ""
        children += [node("source", bridge=bridge), node("mtu", size=vif.mtu)]
        if nic.tap is not None:
            children.append(node("target", dev=nic.tap))
    if place is not None:
        children.append(place)
    return node("interface", *children, *_order(boot_order), type="bridge" if bridged else "user")


def place(kind: Kind, port: int) -> Element:
    """Where what has one of a machine's places is; on a `q35` it is a root port, on a `pc` a slot."""
    return _pci(slot=PC_SLOT + port) if kind is Kind.PC else _pci(bus=port + 1)


def free_place(kind: Kind, document: Element) -> Element | None:
    """The last place at which a machine has nothing; None: all are taken."""
    taken = {_where(found) for found in document.findall("./devices/*/address[@type='pci']")}
    buses = {int(found.get("index", "0")) for found in document.findall("./devices/controller[@type='pci']")}
    places = [place(kind, port) for port in reversed(range(PORTS))]
    free = (found for found in places if _where(found) not in taken and _where(found)[0] in buses)
    return next(free, None)


def pci_node(held: HeldPci, place: Element) -> Element:
    """A PCI device of the host, whose driver is vfio-pci already.

    Its place is said: one that is not PCI Express libvirt would put behind a bridge that there is not.
    """
    address = held.pci.address
    origin = {"domain": address.domain, "bus": address.bus, "slot": address.dev, "function": address.fn}
    source = node("source", node("address", **{name: f"{number:#x}" for name, number in origin.items()}))
    return _of_host("pci", held.alias, source, node("driver", name="vfio"), place)


def usb_node(held: HeldUsb, device: UsbDevice) -> Element:
    """A USB device of the host, at any port of the controller's that is free."""
    place = node("address", bus=held.vusb.hostbus, device=device.number)
    return _of_host("usb", held.alias, node("source", place))


def boot_orders(domain: Domain) -> Mapping[str, int]:
    """What the firmware tries in which order, from 1, by the device's alias; a kernel given needs none."""
    vm = domain.vm
    if not isinstance(vm.ty, Hvm):
        return {}
    disks = sorted(
        (disk for disk in domain.disks if disk.activated), key=lambda disk: (disk.bus == "scsi", disk.unit)
    )
    classes = {
        "c": [disk.alias for disk in disks if disk.vbd.ty is not VbdType.CDROM],
        "d": [disk.alias for disk in disks if disk.vbd.ty is VbdType.CDROM],
        "n": [nic.alias for nic in sorted(domain.nics, key=lambda nic: nic.vif.position)],
    }
    order = vm.ty.info.boot_order or DEFAULT_BOOT_ORDER
    tried = [alias for letter in dict.fromkeys(order) for alias in classes.get(letter, [])]
    return {alias: number for number, alias in enumerate(tried, start=1)}


def _type(around: Surroundings) -> str:
    return "kvm" if around.accelerator == "kvm" else "qemu"


def _features(around: Surroundings, *, is_secure: bool) -> Element:
    common = [node("acpi"), node("apic"), node("vmport", state="off")]
    if is_secure:
        common.append(node("smm", state="on"))
    if around.accelerator == "tcg":
        common.append(node("tcg", node("tb-cache", text=str(_TCG_CACHE_MIB), unit="MiB")))
    return node("features", *common)


def _devices(domain: Domain, around: Surroundings) -> Iterator[Element]:
    """Each device at a place of its own, so that the same machine is put together on every host."""
    yield node("controller", _pci(slot=_SLOT_USB), type="usb", index=0, model="qemu-xhci", ports=USB_PORTS)
    yield from _buses(domain.kind)
    yield node("controller", _pci(slot=_SLOT_SCSI), type="scsi", index=0, model="virtio-scsi")
    orders = boot_orders(domain)
    for disk in domain.disks:
        if disk.activated:
            yield disk_node(disk, orders.get(disk.alias))
    for nic in domain.nics:
        yield nic_node(
            nic,
            bridged=around.bridged,
            place=place(domain.kind, nic.vif.position),
            boot_order=orders.get(nic.alias),
        )
    yield node("serial", node("source", mode="bind", path=str(around.console)), type="unix")
    yield from _screen(domain.vm)
    yield node("controller", _pci(slot=_SLOT_SERIAL), type="virtio-serial", index=0)
    yield node("channel", node("target", type="virtio", name=AGENT_PORT), type="unix")
    yield from tpm_nodes(domain.vm)
    yield node("memballoon", _pci(slot=_SLOT_BALLOON), model="virtio")
    yield node("panic", model="isa")


def _of_host(kind: str, alias: str, *children: Element) -> Element:
    """Libvirt is not to bind drivers: it would not know which a device of the group had before."""
    named = node("alias", name=alias)
    return node("hostdev", *children, named, mode="subsystem", type=kind, managed="no")


def _screen(vm: Vm) -> Iterator[Element]:
    if not has_screen(vm):
        yield node("video", node("model", type="none"))
        return
    is_standard = isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.video, StandardVga)
    yield node("graphics", node("listen", type="socket"), type="vnc")
    yield node("video", node("model", type="vga" if is_standard else "cirrus"))


def _buses(kind: Kind) -> Iterator[Element]:
    if kind is Kind.PC:
        yield node("controller", type="pci", index=0, model="pci-root")
        return
    yield node("controller", type="pci", index=0, model="pcie-root")
    for port in range(PORTS):
        yield _port(port)


def _port(port: int) -> Element:
    """All on one slot of the root bus, a function each."""
    place = _pci(slot=_SLOT_PORTS, function=port, multifunction="on" if port == 0 else "off")
    target = node("target", chassis=port + 1, port=port)
    return node("controller", target, place, type="pci", index=port + 1, model="pcie-root-port")


def _pci(*, bus: int = 0, slot: int = 0, function: int = 0, multifunction: str = "off") -> Element:
    return node(
        "address", type="pci", domain=0, bus=bus, slot=slot, function=function, multifunction=multifunction
    )


def _where(address: Element) -> tuple[int, int]:
    """Bus and slot."""
    return int(address.get("bus", "0"), 0), int(address.get("slot", "0"), 0)


def _drive_place(disk: Disk) -> Element:
    bus, target, unit = _DRIVE_PLACES[disk.bus](disk.unit)
    return node("address", type="drive", controller=0, bus=bus, target=target, unit=unit)


_DRIVE_PLACES: Mapping[str, Callable[[int], tuple[int, int, int]]] = {
    "scsi": lambda unit: (0, unit, 0),
    "sata": lambda unit: (0, 0, unit),
    "ide": lambda unit: (unit // 2, 0, unit % 2),
}
"""Bus, target and unit of a disk."""


def _order(number: int | None) -> Iterator[Element]:
    if number is not None:
        yield node("boot", order=number)
