"""Mirrored: which disks go along when their VM migrates, and what QEMU is told of that; values and no I/O."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field
from schema.fault import internal_error
from schema.objects.vbd import Vbd

from worker_kvm.qemu.devices import is_read_only
from worker_kvm.qemu.machine import Disk, Slot
from worker_kvm.qemu.open_files import Words

MIGRATION_KEY = "migration"
"""In a VBD's `extra_backend_keys`: `shared`, both hosts reach the disk (the default), or `mirror`."""

SERVER = "mirror"
"""The socket by which QEMU takes disks in, and what QEMU knows it by."""


class Mirrored(BaseModel):
    """A disk that goes along: the device's id in QEMU, and how large the disk is for its guest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: str
    size: int = Field(ge=0)
    """Bytes."""


def goes_along(vbd: Vbd) -> bool:
    """Whether a disk's content is to go along. Errors: `Internal_error` for a key that makes no sense."""
    match dict(vbd.extra_backend_keys).get(MIGRATION_KEY, "shared"):
        case "shared":
            return False
        case "mirror":
            return True
        case other:
            raise internal_error(
                f"VBD {vbd.id.device} has the {MIGRATION_KEY} {other!r}: give shared, or mirror"
            )


def going_along(disks: Iterable[Disk]) -> list[Disk]:
    """Those that go along; one that its guest cannot write must be at both hosts already."""
    return [
        disk
        for disk in disks
        if disk.activated and disk.source is not None and goes_along(disk.vbd) and not is_read_only(disk)
    ]


def refuse_others(mirrored: Sequence[Mirrored], disks: Iterable[Disk]) -> None:
    """What a source sends must be for disks that are taken in. Errors: `ValueError` that names one."""
    known = {disk.slot.device for disk in disks if disk.activated and disk.source and not is_read_only(disk)}
    for each in mirrored:
        if each.device not in known:
            raise ValueError(f"it brings the content of {each.device!r}, which is no disk to be written")


def socket_name(slot: Slot) -> str:
    """The socket in QEMU's own directory by which a disk goes out."""
    return f"to-{slot.device}"


def target_name(slot: Slot) -> str:
    """The node that is the disk at the other host."""
    return f"{slot.device}-there"


def job_name(slot: Slot) -> str:
    """The job that copies it."""
    return f"mirror-{slot.device}"


def target_node(slot: Slot) -> Words:
    """The disk at the other host, for `blockdev-add`; that is where its export has the device's name."""
    server = {"type": "unix", "path": socket_name(slot)}
    return {"node-name": target_name(slot), "driver": "nbd", "server": server, "export": slot.device}


def mirror_job(slot: Slot, mib_per_s: int | None = None) -> Words:
    """The copy, for `blockdev-mirror`: all of it, then what the guest writes, which waits for nobody.

    It takes so much of the network, None: all.
    """
    return {
        "job-id": job_name(slot),
        "device": slot.node,
        "target": target_name(slot),
        "sync": "full",
        "speed": 0 if mib_per_s is None else mib_per_s << 20,
        "auto-dismiss": False,
    }


def export_words(slot: Slot) -> Words:
    """A disk that is taken in, for `block-export-add`."""
    name = {"id": f"{slot.device}-export", "node-name": slot.node, "name": slot.device}
    return {"type": "nbd", **name, "writable": True}
