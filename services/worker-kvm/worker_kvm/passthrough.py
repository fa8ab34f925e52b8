"""Passthrough: how a domain comes to have devices of its host, and what is owed to that for them."""

from collections.abc import Iterable, Iterator
from typing import Any

from engine.holding import find, without
from engine.hosted.machine import HostedMachine
from engine.hosted.notes import MachineT
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId, PciObject, VusbObject
from schema.objects.errors import AlreadyExists
from schema.objects.pci import Pci

from worker_kvm.hostdevices import PORTS, HeldPci, HostingDomain, TakenGroup, TakenPci
from worker_kvm.kind import refuse_late
from worker_kvm.pci import Group, Member, held_by_another, name_of, to_take

Domain = HostingDomain[Any, Any]


def with_pci(machine: MachineT, pci: Pci, group: Group, others: Iterable[MachineT]) -> MachineT:
    """With a device, and with what the host must let go of for it; one that is there stays.

    Errors: `Already_exists("pci", position)`; those of `to_take` and `held_by_another`; `Internal_error`,
    all ports are taken.
    """
    domain: Domain = machine.living()
    name = name_of(pci.address)
    if find(domain.pcis, pci.id) is not None:
        return machine
    if any(other.pci.position == pci.position for other in domain.pcis):
        raise XenopsError(AlreadyExists(klass="pci", id=str(pci.position)))
    for other in others:
        _refuse_if_held(other, machine.id, name, group)
    held = HeldPci(pci=pci, port=free_port(domain), group=group.number)
    members = to_take(group, name, domain.own_pcis)
    return machine.with_domain(pcis=(*domain.pcis, held), groups=_with_taken(domain, group, members))


def without_pci(machine: MachineT, held: HeldPci) -> MachineT:
    """Without a device; what the host is owed for it stays noted. No domain: nothing to note."""
    domain: Domain | None = machine.domain
    return machine if domain is None else machine.with_domain(pcis=without(domain.pcis, held.id))


def idle_groups(machine: MachineT) -> tuple[TakenGroup, ...]:
    """The groups that the host let go of for a domain, which has no device of them any more."""
    domain: Domain | None = machine.domain
    if domain is None:
        return ()
    used = {held.group for held in domain.pcis}
    return tuple(group for group in domain.groups if group.number not in used)


def with_owner(machine: MachineT, number: int, owner: tuple[int, int]) -> MachineT:
    """With whose a group's file was; noted once, before another is made its owner."""
    groups: tuple[TakenGroup, ...] = machine.living().groups
    return machine.with_domain(
        groups=tuple(
            group.model_copy(update={"owner": owner})
            if group.number == number and group.owner is None
            else group
            for group in groups
        )
    )


def without_group(machine: MachineT, number: int) -> MachineT:
    """The host has a group again."""
    if machine.domain is None:
        return machine
    groups: tuple[TakenGroup, ...] = machine.domain.groups
    return machine.with_domain(groups=tuple(group for group in groups if group.number != number))


def with_usb_port(machine: MachineT) -> MachineT:
    """With a port for USB's controller, if it has none. Errors: `Internal_error`, all are taken."""
    domain: Domain = machine.living()
    return machine if domain.usb_port is not None else machine.with_domain(usb_port=free_port(domain))


def free_port(domain: Domain) -> int:
    """The last place that nothing has: interfaces take the first ones. Errors: `Internal_error`."""
    refuse_late(domain.kind, domain.vm.id, "devices")
    taken = taken_ports(domain)
    for port in reversed(range(PORTS)):
        if port not in taken:
            return port
    raise full(domain)


def full(domain: Domain) -> XenopsError:
    """What is said where all ports are taken."""
    return internal_error(
        f"VM {domain.vm.id} has as many devices as a VM on QEMU can have: {PORTS} interfaces, PCI devices "
        "and, for all USB devices, a controller; unplug one"
    )


def taken_ports(domain: Domain) -> set[int | None]:
    """The places that something has."""
    return {*domain.places(), *(held.port for held in domain.pcis), domain.usb_port}


def refuse_to_leave(domain: Domain) -> None:
    """Errors: `Internal_error`: devices of this host cannot be saved, nor go to another one."""
    named = [f"PCI device {held.id.device}" for held in domain.pcis]
    named += [f"VUSB {held.id.device}" for held in domain.usbs]
    if named:
        raise internal_error(
            f"VM {domain.vm.id} cannot be suspended or migrated: it has {', '.join(named)} of this host; "
            "unplug USB devices first, shut a VM with PCI devices down"
        )


def objects_of(domain: Domain, device: str) -> Iterator[ObjectId]:
    """What a client knows a device of its host as that has an id in QEMU, or an alias in libvirt."""
    yield from (PciObject(id=held.id) for held in domain.pcis if device in {held.device, held.alias})
    yield from (VusbObject(id=held.id) for held in domain.usbs if device in {held.device, held.alias})


def _with_taken(domain: Domain, group: Group, members: Iterable[Member]) -> tuple[TakenGroup, ...]:
    """Each device is noted once: whose it was before is seen then alone."""
    there = next((taken for taken in domain.groups if taken.number == group.number), None)
    noted = () if there is None else there.devices
    known = {device.name for device in noted}
    new = (TakenPci(name=each.name, driver=each.driver) for each in members if each.name not in known)
    taken = (there or TakenGroup(number=group.number)).model_copy(update={"devices": (*noted, *new)})
    return (*(other for other in domain.groups if other is not there), taken)


def _refuse_if_held(other: HostedMachine[Any, Any, Any], vm: str, name: str, group: Group) -> None:
    if other.domain is None or other.id == vm:
        return
    if any(name_of(held.pci.address) == name for held in other.domain.pcis):
        raise held_by_another(name, other.id, itself=True)
    if any(taken.number == group.number for taken in other.domain.groups):
        raise held_by_another(name, other.id, itself=False)
