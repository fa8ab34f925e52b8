"""Usb: the USB devices of its host that a domain has, and where they are plugged in; values and no I/O."""

import re
from collections.abc import Iterable
from typing import Any, Generic

from schema.fault import internal_error
from schema.ids import DeviceId
from schema.objects.vusb import Vusb

from engine.holding import find, without
from engine.hosted.machine import DiskT, HostedDomain, HostedMachine, NicT, Value
from engine.hosted.notes import MachineT

_BUS, _PORT = re.compile(r"[1-9][0-9]{0,2}"), re.compile(r"[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2}){0,5}")
"""A bus's number, and the way from it to a device, hub by hub."""


def name_of(vusb: Vusb) -> str:
    """A device's name in sysfs, by where it is plugged in, as `1-2`, or `1-2.3` behind a hub.

    Errors: `Internal_error`, there can be no such place.
    """
    if not (_BUS.fullmatch(vusb.hostbus) and _PORT.fullmatch(vusb.hostport)):
        raise internal_error(
            f"VUSB {vusb.id.device} is at bus {vusb.hostbus!r}, port {vusb.hostport!r}, which is no place "
            "for a USB device: give numbers as `1` and `2`, or `2.3` behind a hub; see `lsusb -t`"
        )
    return f"{vusb.hostbus}-{vusb.hostport}"


class HeldUsb(Value):
    """A USB device that the domain has, or is about to have."""

    vusb: Vusb
    number: int
    """Counted by the domain: another device than before has another name."""
    node: str = ""
    """Its file when it was given, as `/dev/bus/usb/001/004`: one that is put back has another."""

    @property
    def id(self) -> DeviceId:
        """The VUSB's."""
        return self.vusb.id

    @property
    def device(self) -> str:
        """The device's id in QEMU."""
        return f"usb{self.number}"

    @property
    def alias(self) -> str:
        """The device's name for libvirt."""
        return f"ua-{self.device}"


class UsbDomain(HostedDomain[DiskT, NicT], Generic[DiskT, NicT]):
    """A domain that may have USB devices of its host."""

    usbs: tuple[HeldUsb, ...] = ()
    usb_plugs: int = 0
    """How many it has been given."""


def with_usb(
    machine: MachineT, vusb: Vusb, node: str, others: Iterable[HostedMachine[Any, Any, Any]]
) -> MachineT:
    """With a USB device, whose file is `node`; one that is there stays. Errors: those of `refuse_usb`."""
    domain: UsbDomain[Any, Any] = machine.living()
    if find(domain.usbs, vusb.id) is not None:
        return machine
    refuse_usb(machine, vusb, others)
    usb = HeldUsb(vusb=vusb, number=domain.usb_plugs, node=node)
    return machine.with_domain(usbs=(*domain.usbs, usb), usb_plugs=domain.usb_plugs + 1)


def refuse_usb(
    machine: HostedMachine[Any, Any, Any], vusb: Vusb, others: Iterable[HostedMachine[Any, Any, Any]]
) -> None:
    """Errors: `Internal_error`, another VM has the device, or this one by another VUSB."""
    name = name_of(vusb)
    for other in others:
        held: tuple[HeldUsb, ...] = () if other.domain is None else other.domain.usbs
        if any(name_of(each.vusb) == name and (other.id, each.id) != (machine.id, vusb.id) for each in held):
            raise internal_error(f"USB device {name} is in use by VM {other.id}: unplug it there")


def refuse_with_usbs(vm: str, domain: UsbDomain[Any, Any]) -> None:
    """A device of the host does not go into an image. Errors: `Internal_error`, it can be unplugged."""
    if domain.usbs:
        named = ", ".join(f"VUSB {held.id.device}" for held in domain.usbs)
        raise internal_error(
            f"VM {vm} cannot be suspended or migrated: it has {named} of this host; unplug it first"
        )


def without_usb(machine: MachineT, held: HeldUsb) -> MachineT:
    """Without a USB device; the controller stays."""
    domain: UsbDomain[Any, Any] | None = machine.domain
    return machine if domain is None else machine.with_domain(usbs=without(domain.usbs, held.id))
