"""Emulated network cards on real QEMU: a firmware boots by them, and they come and go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.subject import refusal
from eventually import eventually
from frames import Tap
from qemu_host import PATIENCE_S, VM, Host, vif
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError
from schema.objects.network import LocalNetwork
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, HvmInfo
from stack.console import Console
from worker_kvm.network import Network

DEVICE = {"e1000": "0x100e", "e1000e": "0x10d3", "rtl8139": "0x8139"}
"""What each is in PCI's numbers."""


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as host:
        yield host


def on_bridge(number: int) -> Vif:
    return vif(number, backend=LocalNetwork(bridge="xenbr0"))


def is_dhcp_request(frame: bytes, mac: str) -> bool:
    """By its sender, its protocol (IPv4, of its UDP the port)."""
    sender, protocol, port = frame[6:12], frame[12:14], frame[36:38]
    return (sender.hex(":"), protocol.hex(), int.from_bytes(port)) == (mac, "0800", 67)


def has(console: Console, card: str) -> bool:
    console.say("cat /sys/bus/pci/devices/*/device; echo that is al\\l")
    return any(DEVICE[card] in found for found in _until(console, "that is all"))


def sees(console: Console, card: str) -> None:
    assert has(console, card)


def _until(console: Console, words: str) -> Iterator[str]:
    for found in console.lines(PATIENCE_S):
        if words in found:
            return
        yield found


@pytest.mark.parametrize(
    ("card", "kind"), [("e1000", "q35"), ("e1000e", "q35"), ("rtl8139", "q35"), ("rtl8139", "pc")]
)
def test_a_firmware_boots_by_the_card_that_its_platform_names(host: Host, card: str, kind: str) -> None:
    ty = Hvm(info=HvmInfo(boot_order="n"))
    vm = host.vm(platformdata=(("nic_type", card), ("machine", kind))).model_copy(update={"ty": ty})
    host.create(vm)
    nic = on_bridge(0)
    host.backend.vif.plug(host.task, VM, nic)
    with Tap(Network(host.namespace), "listener") as listener:
        host.launch(vm)
        host.backend.vm.unpause(host.task, vm)
        assert any(is_dhcp_request(frame, nic.mac) for frame in listener.heard(PATIENCE_S))


def test_a_card_comes_and_goes_and_stays_what_it_is_when_its_guest_is_resumed(host: Host) -> None:
    vm, nic, image = (
        host.vm(platformdata=(("nic_type", "e1000"),)),
        on_bridge(3),
        LocalDisk(path=str(host.directory / "image")),
    )
    verbs, vifs = host.backend.vm, host.backend.vif
    with host.up(vm) as console:
        assert not has(console, "e1000")
        vifs.plug(host.task, VM, nic)
        eventually(lambda: sees(console, "e1000"))
        vifs.unplug(host.task, VM, nic, force=False)
        assert not has(console, "e1000")
        vifs.plug(host.task, VM, nic)
        eventually(lambda: sees(console, "e1000"))
    verbs.save(host.task, vm, image, live=False)
    verbs.destroy_device_model(host.task, vm)
    verbs.destroy(host.task, vm)
    now_virtio = vm.model_copy(update={"platformdata": ()})
    devices = Devices(vifs=(nic,))
    verbs.create(host.task, now_virtio, devices, CreateOptions())
    verbs.restore(host.task, now_virtio, devices, image)
    verbs.create_device_model(host.task, now_virtio, devices, save_state=True)
    verbs.set_domain_action_request(vm, None)
    with host.console(vm) as console:
        verbs.unpause(host.task, vm)
        eventually(lambda: sees(console, "e1000"))
        vifs.unplug(host.task, VM, nic, force=False)
        assert not has(console, "e1000")


def test_a_card_that_there_is_not_is_refused_by_its_name(host: Host) -> None:
    host.create(host.vm(platformdata=(("nic_type", "ne2k_pci"),)))
    error = refusal(lambda: host.backend.vif.plug(host.task, VM, on_bridge(0)))
    assert isinstance(error, InternalError)
    assert "'ne2k_pci'" in error.message
