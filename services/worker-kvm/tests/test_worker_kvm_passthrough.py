"""How a domain comes to have devices of its host, in values."""

from typing import Any

import pytest
from devices_in_hand import pci
from engine.conformance.samples import sample_vm, sample_vusb
from engine.conformance.subject import refusal
from engine.hosted.usb import HeldUsb, with_usb, without_usb
from schema.ids import DeviceId
from schema.objects.dynamic import PciObject, VusbObject
from schema.objects.errors import AlreadyExists, InternalError
from schema.objects.vif import Vif
from worker_kvm.hostdevices import TakenGroup, TakenPci
from worker_kvm.kind import Kind
from worker_kvm.passthrough import (
    free_port,
    idle_groups,
    objects_of,
    refuse_to_leave,
    with_owner,
    with_pci,
    with_usb_port,
    without_group,
    without_pci,
)
from worker_kvm.pci import Group, Member
from worker_kvm.qemu.devices import pci_device, usb_controller, usb_device
from worker_kvm.qemu.machine import Domain, Machine, created, plugged, unplugged, without_left

GPU, AUDIO, NIC = "0000:01:00.0", "0000:01:00.1", "0000:03:00.0"
CARD = Group(7, (Member(GPU, "nouveau"), Member(AUDIO, "snd_hda_intel")))
ALONE = Group(8, (Member(NIC, "e1000e"),))
BARE = Machine(id="a")
NODE = "/dev/bus/usb/001/004"


def machine(vm: str = "a", **fields: Any) -> Machine:
    return created(Machine(id=vm), sample_vm(vm), 3, 0.0).with_domain(own_pcis=(GPU, AUDIO), **fields)


def domain(found: Machine) -> Domain:
    return found.living()


def words(act: Any) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def both() -> Machine:
    first = with_pci(machine(), pci(GPU), CARD, [])
    taken = Group(7, tuple(Member(member.name, "vfio-pci") for member in CARD.members))
    return with_pci(first, pci(AUDIO, position=1), taken, [first])


def test_devices_of_one_group_are_taken_together_and_noted_once() -> None:
    found = domain(both())
    assert [(held.device, held.group) for held in found.pcis] == [("pci7", 7), ("pci6", 7)]
    devices = (TakenPci(name=GPU, driver="nouveau"), TakenPci(name=AUDIO, driver="snd_hda_intel"))
    assert found.groups == (TakenGroup(number=7, devices=devices),)
    assert with_pci(both(), pci(GPU), CARD, []) == both()


def test_a_device_of_a_group_that_nobody_used_is_noted_when_it_is_taken() -> None:
    idle = Group(7, (Member(GPU, "nouveau"), Member(AUDIO, None)))
    first = with_pci(machine(), pci(GPU), idle, [])
    later = Group(7, (Member(GPU, "vfio-pci"), Member(AUDIO, None)))
    found = domain(with_pci(first, pci(AUDIO, position=1), later, []))
    assert [device.driver for device in found.groups[0].devices] == ["nouveau", None]


def test_a_group_is_owed_to_the_host_when_its_last_device_goes() -> None:
    found = with_pci(both(), pci(NIC, position=2), ALONE, [])
    gpu, audio, nic = domain(found).pcis
    assert idle_groups(found) == ()
    found = without_pci(found, gpu)
    assert idle_groups(found) == ()
    found = without_pci(found, audio)
    assert [group.number for group in idle_groups(found)] == [7]
    found = without_group(found, 7)
    assert idle_groups(found) == ()
    assert idle_groups(without_pci(found, nic))[0].number == 8
    assert (without_pci(BARE, nic), idle_groups(BARE), without_group(BARE, 7)) == (BARE, (), BARE)


def test_whose_a_groups_file_was_is_noted_once() -> None:
    found = with_owner(with_owner(with_pci(both(), pci(NIC, position=2), ALONE, []), 7, (0, 5)), 7, (9, 9))
    assert [group.owner for group in domain(found).groups] == [None, (0, 5)] or [
        group.owner for group in domain(found).groups
    ] == [(0, 5), None]


def test_two_devices_do_not_take_one_position() -> None:
    error = refusal(lambda: with_pci(both(), pci(NIC, position=1), ALONE, []))
    assert error == AlreadyExists(klass="pci", id="1")


def test_a_device_that_another_vm_has_is_refused_with_its_name() -> None:
    other = both()
    said = words(lambda: with_pci(machine("b"), pci(GPU, "b"), CARD, [other, BARE]))
    assert "it is in use by VM a" in said
    lone = with_pci(machine(), pci(GPU), CARD, [])
    said = words(lambda: with_pci(machine("b"), pci(AUDIO, "b"), CARD, [lone]))
    assert "a device of its IOMMU group is in use by VM a" in said
    assert domain(with_pci(machine("b"), pci(NIC, "b"), ALONE, [other])).pcis


def test_ports_are_given_from_the_last_one_and_interfaces_keep_theirs() -> None:
    found = machine()
    for position in range(6):
        found = plugged(found, Vif(id=DeviceId("a", str(position)), position=position), bridged=True)
    found = with_usb_port(with_pci(found, pci(NIC), ALONE, []))
    assert (domain(found).pcis[0].port, domain(found).usb_port) == (7, 6)
    assert "8 interfaces, PCI devices" in words(lambda: free_port(domain(found)))
    for position in (6, 7):
        vif = Vif(id=DeviceId("a", "late"), position=position)
        assert "8 interfaces, PCI devices" in words(lambda vif=vif: plugged(found, vif, bridged=True))


def test_a_microvm_has_no_place_for_what_is_not_an_interface() -> None:
    said = words(lambda: with_usb_port(machine(kind=Kind.MICROVM)))
    assert said.startswith("VM a is a microvm, which has the devices that it began with")


def test_an_interface_whose_port_something_has_comes_at_another() -> None:
    found = with_pci(machine(), pci(NIC), ALONE, [])
    found = plugged(found, Vif(id=DeviceId("a", "late"), position=7), bridged=True)
    assert [nic.place for nic in domain(found).nics] == [6]
    assert domain(with_usb_port(found)).usb_port == 5


def test_a_card_that_stays_keeps_its_port_until_the_guest_has_let_go_of_it() -> None:
    first = plugged(machine(), Vif(id=DeviceId("a", "0"), position=0), bridged=True)
    [nic] = domain(first).nics
    assert unplugged(first, nic, stays=False) == machine(nic_plugs=1)
    stays = unplugged(first, nic, stays=True)
    again = plugged(stays, nic.vif, bridged=True)
    assert [(each.place, each.device) for each in domain(again).nics] == [(7, "nic0-1")]
    assert domain(with_pci(again, pci(NIC), ALONE, [])).pcis[0].port == 6
    assert without_left(again, ()) is again
    later = plugged(without_left(stays, {"nic0-0"}), nic.vif, bridged=True)
    assert [each.place for each in domain(later).nics] == [0]
    assert unplugged(BARE, nic, stays=True) is without_left(BARE, {"nic0-0"})


def test_usb_devices_share_a_controller_and_have_names_of_their_own() -> None:
    first = with_usb(machine(), sample_vusb("a"), NODE, [])
    assert with_usb(first, sample_vusb("a"), NODE, [first]) is first
    second = with_usb(first, sample_vusb("a", id=DeviceId("a", "other"), hostport="3"), NODE, [first])
    assert [held.device for held in domain(second).usbs] == ["usb0", "usb1"]
    again = with_usb(without_usb(second, domain(second).usbs[0]), sample_vusb("a"), NODE, [])
    assert [held.device for held in domain(again).usbs] == ["usb1", "usb2"]
    assert with_usb_port(with_usb_port(again)) == with_usb_port(again)
    assert domain(with_usb_port(again)).usb_port == 7
    assert without_usb(BARE, domain(second).usbs[0]) is BARE


@pytest.mark.parametrize("vm", ["a", "b"])
def test_a_usb_device_is_given_once(vm: str) -> None:
    first = with_usb(machine(), sample_vusb("a"), NODE, [])
    twin = sample_vusb(vm, id=DeviceId(vm, "twin"))
    there = first if vm == "a" else machine("b")
    assert "USB device 1-2 is in use by VM a" in words(lambda: with_usb(there, twin, NODE, [first, BARE]))


def test_devices_in_qemus_words() -> None:
    [gpu, _] = domain(both()).pcis
    assert pci_device(gpu, Kind.Q35) == {"driver": "vfio-pci", "id": "pci7", "host": GPU, "bus": "port7"}
    held = HeldUsb(vusb=sample_vusb("a"), number=4)
    path = "/dev/fdset/3"
    assert usb_device(held, path) == {"driver": "usb-host", "id": "usb4", "bus": "usb.0", "hostdevice": path}
    assert usb_controller(5, Kind.Q35) == {
        "driver": "qemu-xhci",
        "id": "usb",
        "bus": "port5",
        "p2": 8,
        "p3": 8,
    }


def test_a_vm_with_devices_of_this_host_stays_here() -> None:
    refuse_to_leave(domain(machine()))
    found = with_usb(both(), sample_vusb("a"), NODE, [])
    said = words(lambda: refuse_to_leave(domain(found)))
    assert f"it has PCI device {GPU}, PCI device {AUDIO}, VUSB vusb1-2 of this host" in said


def test_devices_are_found_by_what_qemu_calls_them() -> None:
    found = domain(with_usb(both(), sample_vusb("a"), NODE, []))
    assert list(objects_of(found, "pci6")) == [PciObject(id=DeviceId("a", AUDIO))]
    assert list(objects_of(found, "ua-pci7")) == [PciObject(id=DeviceId("a", GPU))]
    assert list(objects_of(found, "usb0")) == list(objects_of(found, "ua-usb0"))
    assert list(objects_of(found, "usb0")) == [VusbObject(id=DeviceId("a", "vusb1-2"))]
    assert list(objects_of(found, "scsi0")) == []
