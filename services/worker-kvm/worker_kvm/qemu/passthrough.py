"""Passthrough: how a domain comes to have devices of its host, and what is owed to that for them."""

from collections.abc import Iterable, Iterator

from engine.holding import find, without
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId, PciObject, VifObject, VusbObject
from schema.objects.errors import AlreadyExists
from schema.objects.pci import Pci
from schema.objects.vusb import Vusb

from worker_kvm.pci import Group, Member, held_by_another, name_of, to_take
from worker_kvm.qemu.given import Words
from worker_kvm.qemu.hostdevices import PORTS, HeldPci, HeldUsb, TakenGroup, TakenPci
from worker_kvm.qemu.machine import Domain, Machine
from worker_kvm.usb import name_of as usb_name_of

USB = "usb"
"""The id of USB's controller in QEMU; its bus is `usb.0`."""

_USB_PORTS = 8
"""Of the controller, for each of USB's two generations; xapi allows a VM six devices."""


def with_pci(machine: Machine, pci: Pci, group: Group, others: Iterable[Machine]) -> Machine:
    """With a device, and with what the host must let go of for it; one that is there stays.

    Errors: `Already_exists("pci", position)`; those of `to_take` and `held_by_another`; `Internal_error`,
    all ports are taken.
    """
    domain, name = machine.living(), name_of(pci.address)
    if find(domain.pcis, pci.id) is not None:
        return machine
    if any(other.pci.position == pci.position for other in domain.pcis):
        raise XenopsError(AlreadyExists(klass="pci", id=str(pci.position)))
    for other in others:
        _refuse_if_held(other, machine.id, name, group)
    held = HeldPci(pci=pci, port=free_port(domain), group=group.number)
    members = to_take(group, name, domain.own_pcis)
    return machine.with_domain(pcis=(*domain.pcis, held), groups=_with_taken(domain, group, members))


def without_pci(machine: Machine, held: HeldPci) -> Machine:
    """Without a device; what the host is owed for it stays noted. No domain: nothing to note."""
    domain = machine.domain
    return machine if domain is None else machine.with_domain(pcis=without(domain.pcis, held.id))


def idle_groups(machine: Machine) -> tuple[TakenGroup, ...]:
    """The groups that the host let go of for a domain, which has no device of them any more."""
    domain = machine.domain
    if domain is None:
        return ()
    used = {held.group for held in domain.pcis}
    return tuple(group for group in domain.groups if group.number not in used)


def with_owner(machine: Machine, number: int, owner: tuple[int, int]) -> Machine:
    """With whose a group's file was; noted once, before another is made its owner."""
    groups = machine.living().groups
    return machine.with_domain(
        groups=tuple(
            group.model_copy(update={"owner": owner})
            if group.number == number and group.owner is None
            else group
            for group in groups
        )
    )


def without_group(machine: Machine, number: int) -> Machine:
    """The host has a group again."""
    if machine.domain is None:
        return machine
    groups = machine.domain.groups
    return machine.with_domain(groups=tuple(group for group in groups if group.number != number))


def with_usb(machine: Machine, vusb: Vusb, others: Iterable[Machine]) -> Machine:
    """With a USB device, and a port for the controller; one that is there stays.

    Errors: `Internal_error`, another VM has the device, or all ports are taken.
    """
    domain, name = machine.living(), usb_name_of(vusb)
    if find(domain.usbs, vusb.id) is not None:
        return machine
    for other in others:
        held = () if other.domain is None else other.domain.usbs
        if any(
            usb_name_of(each.vusb) == name and (other.id, each.id) != (machine.id, vusb.id) for each in held
        ):
            raise internal_error(f"USB device {name} is in use by VM {other.id}: unplug it there")
    usb = HeldUsb(vusb=vusb, number=domain.usb_plugs)
    port = free_port(domain) if domain.usb_port is None else domain.usb_port
    return machine.with_domain(usbs=(*domain.usbs, usb), usb_port=port, usb_plugs=domain.usb_plugs + 1)


def without_usb(machine: Machine, held: HeldUsb) -> Machine:
    """Without a USB device; the controller stays."""
    domain = machine.domain
    return machine if domain is None else machine.with_domain(usbs=without(domain.usbs, held.id))


def free_port(domain: Domain) -> int:
    """The last root port that nothing has: interfaces take the first ones. Errors: `Internal_error`."""
    taken = {nic.vif.position for nic in domain.nics} | {held.port for held in domain.pcis}
    for port in reversed(range(PORTS)):
        if port not in taken and port != domain.usb_port:
            return port
    raise internal_error(
        f"VM {domain.vm.id} has as many devices as a VM on QEMU can have: {PORTS} interfaces, PCI devices "
        "and, for all USB devices, a controller; unplug one"
    )


def pci_device(held: HeldPci) -> Words:
    """The guest's side of a PCI device, for `device_add`."""
    words: Words = {"driver": "vfio-pci", "id": held.device, "host": name_of(held.pci.address)}
    return {**words, "bus": f"port{held.port}"}


def usb_controller(port: int) -> Words:
    """USB's controller, for `device_add`, or of a machine that is put together."""
    ports: Words = {"p2": _USB_PORTS, "p3": _USB_PORTS}
    return {"driver": "qemu-xhci", "id": USB, "bus": f"port{port}", **ports}


def usb_device(held: HeldUsb, path: str) -> Words:
    """The guest's side of a USB device, for `device_add`; `path` is that of its open file."""
    return {"driver": "usb-host", "id": held.device, "bus": f"{USB}.0", "hostdevice": path}


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
    """What a client knows the device as that has an id in QEMU; disks have their own way."""
    yield from (VifObject(id=nic.id) for nic in domain.nics if nic.device == device)
    yield from (PciObject(id=held.id) for held in domain.pcis if held.device == device)
    yield from (VusbObject(id=held.id) for held in domain.usbs if held.device == device)


def _with_taken(domain: Domain, group: Group, members: Iterable[Member]) -> tuple[TakenGroup, ...]:
    """Each device is noted once: whose it was before is seen then alone."""
    there = next((taken for taken in domain.groups if taken.number == group.number), None)
    noted = () if there is None else there.devices
    known = {device.name for device in noted}
    new = (TakenPci(name=each.name, driver=each.driver) for each in members if each.name not in known)
    taken = (there or TakenGroup(number=group.number)).model_copy(update={"devices": (*noted, *new)})
    return (*(other for other in domain.groups if other is not there), taken)


def _refuse_if_held(other: Machine, vm: str, name: str, group: Group) -> None:
    if other.domain is None or other.id == vm:
        return
    if any(name_of(held.pci.address) == name for held in other.domain.pcis):
        raise held_by_another(name, other.id, itself=True)
    if any(taken.number == group.number for taken in other.domain.groups):
        raise held_by_another(name, other.id, itself=False)
