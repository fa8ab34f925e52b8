"""Which network card a VM's interfaces are, and how both backends say so."""

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from virt.xml import attribute, node
from worker_kvm.card import Card, card_named, card_of
from worker_kvm.kind import Kind
from worker_kvm.libvirt.document import nic_node
from worker_kvm.libvirt.machine import Nic as LibvirtNic
from worker_kvm.libvirt.saved import placed_nic
from worker_kvm.qemu.devices import nic_device
from worker_kvm.qemu.machine import Machine, Nic, created, plugged

VIF = Vif(id=DeviceId("v1", "0"), mac="52:54:00:00:00:01", mtu=9_000)


def vm(**platform: str) -> Vm:
    return sample_vm(platformdata=tuple(platform.items()))


@pytest.mark.parametrize("card", Card)
def test_a_card_is_what_its_vms_platform_says(card: Card) -> None:
    assert card_of(vm(nic_type=card), Kind.Q35) is card
    assert card_of(vm(nic_type=card), Kind.PC) is card
    machine = plugged(created(Machine(id="v1"), vm(nic_type=card), 1, 0.0), VIF, bridged=True)
    assert [nic.card for nic in machine.living().nics] == [card]


def test_a_vm_that_does_not_say_has_virtios() -> None:
    assert card_of(vm(), Kind.MICROVM) is Card.VIRTIO


@pytest.mark.parametrize("named", ["ne2k_pci", "", "e1000,romfile=/etc/shadow", "E1000"])
def test_another_card_is_refused(named: str) -> None:
    error = refusal(lambda: card_of(vm(nic_type=named), Kind.Q35))
    assert isinstance(error, InternalError)
    assert error.message.endswith("give one of virtio, e1000, e1000e, rtl8139")


def test_a_microvm_has_virtios_only() -> None:
    error = refusal(lambda: card_of(vm(nic_type="e1000"), Kind.MICROVM))
    assert isinstance(error, InternalError)
    assert "is a microvm, whose network cards are virtio's" in error.message


def test_qemu_is_told_of_the_card_and_only_virtios_of_the_mtu() -> None:
    emulated = nic_device(Nic(vif=VIF, tap="t", card=Card.RTL8139), Kind.Q35)
    assert (emulated["driver"], emulated["bus"]) == ("rtl8139", "port0")
    assert "host_mtu" not in emulated
    ours = nic_device(Nic(vif=VIF, tap="t"), Kind.PC)
    assert (ours["driver"], ours["host_mtu"]) == ("virtio-net-pci", 9_000)


def test_libvirt_is_told_of_the_card_and_tells_of_a_saved_one() -> None:
    emulated = nic_node(LibvirtNic(vif=VIF, card=Card.E1000), bridged=True)
    assert attribute(emulated, "model", "type") == "e1000"
    document = node("domain", node("devices", emulated))
    found = placed_nic(document, LibvirtNic(vif=VIF))
    assert found is not None
    assert found.card is Card.E1000
    model = emulated.find("model")
    assert model is not None
    model.set("type", "of another worker")
    assert placed_nic(document, LibvirtNic(vif=VIF)) == LibvirtNic(vif=VIF)


def test_a_card_is_known_by_its_name() -> None:
    assert card_named("e1000e") is Card.E1000E
    assert card_named("vmxnet3") is None
