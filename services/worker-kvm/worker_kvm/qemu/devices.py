"""Devices: disks, interfaces, devices of the host in QEMU's words, the same as arguments and over QMP."""

from collections.abc import Mapping, Sequence

from engine.hosted.usb import HeldUsb
from schema.objects.vbd import VbdMode, VbdType
from schema.objects.vm import Hvm, Vm

from worker_kvm.card import Card
from worker_kvm.hostdevices import USB_PORTS, HeldPci
from worker_kvm.kind import PC_SLOT, Kind
from worker_kvm.pci import name_of
from worker_kvm.qemu.machine import Disk, Nic, Slot
from worker_kvm.qemu.open_files import Given, Words, content_words

_DRIVERS = {
    ("scsi", False): "scsi-hd",
    ("scsi", True): "scsi-cd",
    ("sata", False): "ide-hd",
    ("sata", True): "ide-cd",
    ("ide", False): "ide-hd",
    ("ide", True): "ide-cd",
}
"""By bus, and whether it takes media."""

USB = "usb"
"""The id of USB's controller in QEMU; its bus is `usb.0`."""

MMIO = "virtio-mmio-bus"
"""A microvm's virtio buses; the first ones are for what each machine has: disks, balloon, agent."""

_MMIO_LAST = 7
"""Of them. Linux finds the last one first: there the first interface is, so that it is its first one, too."""

DEFAULT_BOOT_ORDER = "cdn"
"""Disk, CD, network: what is tried where nothing was chosen."""


def takes_media(disk: Disk) -> bool:
    """Whether it is a drive."""
    return disk.vbd.ty is VbdType.CDROM


def block_node(slot: Slot, given: Given, *, read_only: bool) -> Words:
    """The content of a disk, for `blockdev-add`.

    The format is never guessed from the content: a guest that writes a header into its raw disk would
    choose which file of the host it reads next.
    """
    node = {"node-name": slot.node, "read-only": read_only, "discard": "unmap"}
    return {**node, **content_words(given)}


def is_read_only(disk: Disk) -> bool:
    """Whether the guest may not write."""
    return takes_media(disk) or disk.vbd.mode is VbdMode.READ_ONLY


def disk_device(disk: Disk, boot_index: int | None = None) -> Words:
    """The guest's side of a disk, for `device_add`."""
    slot = disk.slot
    words: Words = {"driver": _DRIVERS[slot.bus, takes_media(disk)], "id": slot.device}
    match slot.bus:
        case "scsi":
            words |= {"bus": "scsi.0", "scsi-id": slot.unit, "lun": 0}
        case "sata":
            words |= {"bus": f"ide.{slot.unit}"}
        case "ide":
            words |= {"bus": f"ide.{slot.unit // 2}", "unit": slot.unit % 2}
    if disk.source is not None:
        words["drive"] = slot.node
    if not takes_media(disk):
        words["serial"] = disk.vbd.id.device[:20]
    if boot_index is not None:
        words["bootindex"] = boot_index
    return words


def netdev(nic: Nic, descriptor: str) -> Words:
    """The host's side of an interface, for `netdev_add`; `descriptor` names or numbers its open tap."""
    if nic.tap is None:
        return {"type": "user", "id": nic.netdev}
    return {"type": "tap", "id": nic.netdev, "fd": descriptor}


def place(kind: Kind, port: int) -> Words:
    """Where what has one of a machine's places is; on a `q35` it is a root port, on a `pc` a slot."""
    match kind:
        case Kind.Q35:
            return {"bus": f"port{port}"}
        case Kind.PC:
            return {"bus": "pci.0", "addr": f"{PC_SLOT + port:#x}"}
        case Kind.MICROVM:
            return {"bus": f"{MMIO}.{_MMIO_LAST - port}"}


def virtio(kind: Kind, name: str) -> str:
    """QEMU's name of a device of virtio's in a machine of that kind."""
    return f"virtio-{name}-{'device' if kind is Kind.MICROVM else 'pci'}"


def nic_device(nic: Nic, kind: Kind, boot_index: int | None = None) -> Words:
    """The guest's side of an interface, for `device_add`; only virtio's card is told of an MTU."""
    is_virtio = nic.card is Card.VIRTIO
    mtu: Words = {"host_mtu": nic.vif.mtu} if is_virtio else {}
    words: Words = {
        "driver": virtio(kind, "net") if is_virtio else nic.card.value,
        "id": nic.device,
        "netdev": nic.netdev,
        "mac": nic.vif.mac,
        **mtu,
        **place(kind, nic.place),
    }
    if boot_index is not None:
        words["bootindex"] = boot_index
    return words


def pci_device(held: HeldPci, kind: Kind) -> Words:
    """The guest's side of a PCI device, for `device_add`."""
    words: Words = {"driver": "vfio-pci", "id": held.device, "host": name_of(held.pci.address)}
    return {**words, **place(kind, held.port)}


def usb_controller(port: int, kind: Kind) -> Words:
    """USB's controller, for `device_add`, or of a machine that is put together."""
    ports: Words = {"p2": USB_PORTS, "p3": USB_PORTS}
    return {"driver": "qemu-xhci", "id": USB, **place(kind, port), **ports}


def usb_device(held: HeldUsb, path: str) -> Words:
    """The guest's side of a USB device, for `device_add`; `path` is that of its open file."""
    return {"driver": "usb-host", "id": held.device, "bus": f"{USB}.0", "hostdevice": path}


def boot_indexes(vm: Vm, disks: Sequence[Disk], nics: Sequence[Nic]) -> Mapping[str, int]:
    """What the firmware tries in which order, from 0, by the device's id; a kernel given needs none."""
    if not isinstance(vm.ty, Hvm):
        return {}
    classes = {
        "c": [disk.slot.device for disk in _by_unit(disks) if not takes_media(disk)],
        "d": [disk.slot.device for disk in _by_unit(disks) if takes_media(disk)],
        "n": [nic.device for nic in sorted(nics, key=lambda nic: nic.vif.position)],
    }
    order = vm.ty.info.boot_order or DEFAULT_BOOT_ORDER
    tried = [device for letter in dict.fromkeys(order) for device in classes.get(letter, [])]
    return {device: index for index, device in enumerate(tried)}


def _by_unit(disks: Sequence[Disk]) -> list[Disk]:
    return sorted(disks, key=lambda disk: (disk.slot.bus == "scsi", disk.slot.unit))
