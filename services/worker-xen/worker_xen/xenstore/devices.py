"""Devices: numbers, paths and nodes of disks and interfaces, each with a frontend and a backend."""

from dataclasses import dataclass
from enum import IntEnum

from schema.objects.disk import BusType, DeviceNumber

from worker_xen.xenstore.tree import BACKENDS, ERRORS, Node, below, domain_path, owned_and_shown, readable_by

XEN_DISKS = 16
"""Disks by the old numbers, with 15 partitions each; those above have numbers of another kind."""

_EXTENDED = 1 << 28
_IDE_MAJORS = (3, 22)
_SCSI_MAJOR = 8
_XEN_MAJOR = 202
_FLOPPY_MAJOR = 203


class BusState(IntEnum):
    """How far a device's end is, as Xen's public header `io/xenbus.h` numbers it."""

    UNKNOWN = 0
    INITIALISING = 1
    INIT_WAIT = 2
    INITIALISED = 3
    CONNECTED = 4
    CLOSING = 5
    CLOSED = 6
    RECONFIGURING = 7
    RECONFIGURED = 8


@dataclass(frozen=True, slots=True)
class DevicePath:
    """One device of a domain: `kind` is vbd, vif or pci."""

    kind: str
    domid: int
    number: int

    @property
    def frontend(self) -> str:
        """The guest's end."""
        return f"{domain_path(self.domid)}/device/{self.kind}/{self.number}"

    @property
    def backend(self) -> str:
        """The control domain's end."""
        return f"{BACKENDS}/{self.kind}/{self.domid}/{self.number}"

    @property
    def error(self) -> str:
        """Where the backend's driver says what went wrong."""
        return f"{ERRORS}/{self.kind}/{self.domid}/{self.number}/error"

    @property
    def bus_name(self) -> str:
        """The device's name on the control domain's bus `xen-backend`."""
        return f"{self.kind}-{self.domid}-{self.number}"


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """A disk's content: a block device of the control domain by its path and number."""

    path: str
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class DiskNode:
    """A disk as its two ends are told of it; content in words is for a hotplug script to find."""

    device: DevicePath
    name: str
    content: BlockDevice | str
    is_cdrom: bool = False
    is_read_only: bool = False
    is_removable: bool = False
    backend_keys: tuple[tuple[str, str], ...] = ()
    frontend_keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NicNode:
    """An interface as its two ends are told of it; `rate` is kibibytes and microseconds."""

    device: DevicePath
    mac: str
    bridge: str
    mtu: int
    rate: tuple[int, int] | None = None
    has_carrier: bool = True
    frontend_keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PciNode:
    """A PCI device as pciback is told of it: its `slot` among the domain's, its address by `name`."""

    device: DevicePath
    slot: int
    name: str
    msi_translate: bool = False
    power_management: bool = False


def state_of(text: bytes | None) -> BusState:
    """A device's state as it stands in its node; no node, or nonsense: unknown."""
    try:
        return BusState(int(text or b"0"))
    except ValueError:
        return BusState.UNKNOWN


def device_number(position: DeviceNumber) -> int:
    """A disk's number for its guest: major and minor, or the extended one.

    Errors: ValueError, there is no such place.
    """
    bus, disk, partition = position
    if disk < 0 or partition < 0:
        raise ValueError(f"{bus}({disk}, {partition}) is no place for a disk")
    match bus:
        case BusType.XEN if disk < XEN_DISKS and partition < 16:
            return _XEN_MAJOR << 8 | disk << 4 | partition
        case BusType.XEN if disk < 1 << 20 and partition < 256:
            return _EXTENDED | disk << 8 | partition
        case BusType.SCSI if disk < 16 and partition < 16:
            return _SCSI_MAJOR << 8 | disk << 4 | partition
        case BusType.IDE if disk < 4 and partition < 64:
            return _IDE_MAJORS[disk // 2] << 8 | disk % 2 << 6 | partition
        case BusType.FLOPPY if disk < 2 and not partition:
            return _FLOPPY_MAJOR << 8 | disk << 4
        case _:
            raise ValueError(f"{bus}({disk}, {partition}) is no place for a disk")


def linux_name(position: DeviceNumber) -> str:
    """What the guest's kernel will call it: `xvda`, `xvda1`."""
    bus, disk, partition = position
    prefix = {BusType.XEN: "xvd", BusType.SCSI: "sd", BusType.IDE: "hd", BusType.FLOPPY: "fd"}[bus]
    letters, rest = "", disk
    while True:
        letters = chr(ord("a") + rest % 26) + letters
        rest = rest // 26 - 1
        if rest < 0:
            return f"{prefix}{letters}{partition or ''}"


def disk_nodes(disk: DiskNode) -> tuple[Node, ...]:
    """Both ends of a disk; its content is opened by the backend's driver as soon as it is known."""
    device = disk.device
    keys = tuple((key, value) for key, value in disk.backend_keys if key != "format")
    told = (
        ("dev", disk.name),
        ("type", "phy"),
        ("mode", "r" if disk.is_read_only else "w"),
        ("removable", int(disk.is_removable)),
        *_content(disk.content),
    )
    kind = "cdrom" if disk.is_cdrom else "disk"
    return (
        *_ends(device),
        *below(device.backend, (*keys, *told)),
        *below(device.frontend, disk.frontend_keys),
        *below(device.frontend, (("virtual-device", device.number), ("device-type", kind))),
    )


def nic_nodes(nic: NicNode) -> tuple[Node, ...]:
    """Both ends of an interface; it works once `hotplug-status` is there."""
    device = nic.device
    rate = () if nic.rate is None else (("rate", f"{nic.rate[0] * 1024},{nic.rate[1]}"),)
    told = (
        ("handle", device.number),
        ("mac", nic.mac),
        ("bridge", nic.bridge),
        ("type", "vif"),
        ("disconnect", "0" if nic.has_carrier else "1"),
        ("script", ""),  # netback wants to have one; none is run
    )
    seen = (("handle", device.number), ("mac", nic.mac), ("mtu", nic.mtu))
    return (
        *_ends(device),
        *below(device.backend, (*told, *rate)),
        *below(device.frontend, (*nic.frontend_keys, *seen)),
    )


def pci_nodes(pci: PciNode, *, is_first: bool, is_connected: bool) -> tuple[Node, ...]:
    """One PCI device more. All of a domain's are one device of the bus, which the first one makes.

    A guest that is connected is told by way of pciback, which looks by itself otherwise.
    """
    options = f"msitranslate={int(pci.msi_translate)},power_mgmt={int(pci.power_management)}"
    told = (
        (f"key-{pci.slot}", pci.name),
        (f"dev-{pci.slot}", pci.name),
        (f"opts-{pci.slot}", options),
        (f"state-{pci.slot}", int(BusState.INITIALISING)),
        ("num_devs", pci.slot + 1),
    )
    ends = _ends(pci.device) if is_first else ()
    states = (("state", int(BusState.RECONFIGURING)),) if is_connected else ()
    return (*ends, *below(pci.device.backend, (*told, *states)))


def asking_nodes(device: DevicePath, slot: int) -> tuple[Node, ...]:
    """What asks a guest to let go of one of its PCI devices."""
    words = ((f"state-{slot}", int(BusState.CLOSING)), ("state", int(BusState.RECONFIGURING)))
    return tuple(below(device.backend, words))


def pci_slot_paths(device: DevicePath, slot: int) -> list[str]:
    """All that stands there of one PCI device."""
    return [f"{device.backend}/{name}-{slot}" for name in ("key", "dev", "vdev", "opts", "state")]


def closing_nodes(device: DevicePath) -> tuple[Node, ...]:
    """What asks the guest to let go of a device."""
    return tuple(below(device.backend, (("online", 0), ("state", int(BusState.CLOSING)))))


def interface_name(domid: int, number: int) -> str:
    """What the control domain's kernel calls an interface's other end."""
    return f"vif{domid}.{number}"


def _content(content: BlockDevice | str) -> tuple[tuple[str, str], ...]:
    if isinstance(content, str):
        return (("params", content),)
    return (
        ("params", content.path),
        ("physical-device", f"{content.major:x}:{content.minor:x}"),
        ("physical-device-path", content.path),
        ("hotplug-status", "connected"),
    )


def _ends(device: DevicePath) -> tuple[Node, ...]:
    initialising = int(BusState.INITIALISING)
    return (
        Node(device.backend, "", readable_by(device.domid)),
        *below(
            device.backend,
            (
                ("frontend", device.frontend),
                ("frontend-id", device.domid),
                ("online", 1),
                ("state", initialising),
            ),
        ),
        Node(device.frontend, "", owned_and_shown(device.domid)),
        *below(
            device.frontend,
            (("backend", device.backend), ("backend-id", 0), ("state", initialising)),
        ),
    )
