"""Arriving: the domain that a saved state fits into, its devices as this host knows them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Devices
from engine.hosted.machine import Source
from schema.fault import XenopsError, internal_error
from schema.objects.disk import Disk as DiskBackend
from schema.objects.vbd import Vbd

from worker_kvm.kind import kind_named
from worker_kvm.qemu.content import OVERLAYS
from worker_kvm.qemu.framing import Head
from worker_kvm.qemu.machine import Disk, Domain, Nic

Find = Callable[[Vbd, DiskBackend, str], Source]
"""Where a disk's content is on this host, for the domain of that owner's name, which has it open at once."""


@dataclass(frozen=True, slots=True)
class Here:
    """This host: where contents are, and whether interfaces are on bridges."""

    find: Find
    bridged: bool


def fitted(domain: Domain, head: Head, devices: Devices, host: Here) -> Domain:
    """A new domain with the devices of a saved one, in their places, their other ends as this host has them.

    What names files of this host comes from this host's configuration, never from the image.
    Errors: `Internal_error`, it has a device that the VM has no more; those of `host.find`; `ValueError`,
    no worker makes such a machine.
    """
    kept, kind = head.domain, kind_named(head.machine)
    if kind is None:
        raise ValueError(f"it is of a machine {head.machine!r}, which no VM has")
    size = {name: getattr(kept.vm, name) for name in ("vcpus", "vcpu_max", "memory_static_max")}
    return domain.model_copy(
        update={
            "vm": domain.vm.model_copy(update=size),
            "kind": kind,
            "machine": head.machine,
            "has_agent_port": kept.has_agent_port,
            "vcpus_of_start": kept.vcpus_of_start,
            "memory_target_bytes": kept.memory_target_bytes,
            "disks": tuple(_disk(disk, domain, devices, host.find) for disk in kept.disks if disk.activated),
            "nics": tuple(_nic(nic, domain, devices, bridged=host.bridged) for nic in kept.nics),
            "nic_plugs": kept.nic_plugs,
            "usb_port": kept.usb_port,
            "usb_plugs": kept.usb_plugs,
            "clock_base_s": kept.clock_s,
            "clock_s": kept.clock_s,
            "addressed": kept.addressed,
        }
    )


def _disk(disk: Disk, domain: Domain, devices: Devices, find: Find) -> Disk:
    name = disk.vbd.id.device
    vbd = next((found for found in devices.vbds if found.id.device == name), None)
    if vbd is None:
        raise _missing(domain, f"VBD {name}")
    source = None if vbd.backend is None else find(vbd, vbd.backend, domain.owner)
    if is_aside(disk.source) and not is_aside(source):
        raise left_behind(domain.vm.id, name)
    placed = vbd.model_copy(update={"position": disk.vbd.position})
    return disk.model_copy(update={"vbd": placed, "source": source})


def _nic(nic: Nic, domain: Domain, devices: Devices, *, bridged: bool) -> Nic:
    name = nic.vif.id.device
    vif = next((found for found in devices.vifs if found.id.device == name), None)
    if vif is None:
        raise _missing(domain, f"VIF {name}")
    tap = f"vif{domain.domid}.{nic.vif.position}" if bridged else None
    return nic.model_copy(update={"vif": vif.model_copy(update={"position": nic.vif.position}), "tap": tap})


def _missing(domain: Domain, device: str) -> Exception:
    return internal_error(
        f"Cannot take in VM {domain.vm.id}: its guest has the {device}, which the VM has not: add it"
    )


def is_aside(source: Source | None) -> bool:
    """Whether it is an overlay: the disk forgets what is written."""
    return source is not None and Path(source.path).parent.name == OVERLAYS


def left_behind(vm: str, device: str) -> XenopsError:
    """What is said of a disk whose overlay is at another host."""
    return internal_error(
        f"Cannot take in VM {vm}: what its guest has written to VBD {device} was kept aside by "
        "the host that it was on, and is not here: shut it down there, and start it here"
    )
