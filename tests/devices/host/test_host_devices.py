"""A host's devices in guests of QEMU's, on a computer with an IOMMU: given, seen, taken away, given anew."""

from collections.abc import Iterator
from typing import Any

import pytest
from engine.backend import CreateOptions, Devices
from passthrough_host import (
    CARD,
    CARD_IN_GUEST,
    KEYBOARD,
    OTHER_TWIN,
    PCI,
    TASK,
    TWIN,
    USB,
    Host,
    LibvirtHost,
    QemuHost,
    driver,
    keyboard,
    pci,
    sees,
    until,
    words,
)
from qemu_host import line
from schema.atomics.vm import DomainAction
from schema.ids import VmId
from schema.objects.disk import LocalDisk
from stack.libvirtd import LibvirtDaemon


@pytest.fixture(name="daemon", scope="module")
def make_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtDaemon]:
    with LibvirtDaemon(tmp_path_factory.mktemp("d")) as daemon:
        yield daemon


@pytest.fixture(name="host", params=["qemu", "libvirt"])
def make_host(request: Any) -> Iterator[Host]:
    host = QemuHost() if request.param == "qemu" else LibvirtHost(request.getfixturevalue("daemon"))
    yield host
    host.close()


def test_the_host_says_that_it_has_an_iommu(host: Host) -> None:
    assert host.backend.host.stat().chipset_info.iommu


def test_a_guest_has_the_hosts_devices_until_they_are_taken(host: Host) -> None:
    """A worker that starts meanwhile knows them."""
    vm = host.start("first", CARD)
    card, keys = pci(CARD, "first"), keyboard("first")
    host.plug(vm, card)
    host.backend.vm.unpause(TASK, vm)
    with host.console(vm) as console:
        line(console, "device guest: up")
        assert sees(console, CARD_IN_GUEST)
        assert driver(PCI / CARD) == "vfio-pci"
        host.backend.vusb.plug(TASK, VmId(vm.id), keys)
        until(lambda: sees(console, "QEMU USB Keyboard"))
        until(lambda: driver(USB / f"{KEYBOARD}:1.0") == "usbfs")
        said = words(lambda: host.backend.vm.assert_can_save(vm))
        assert CARD in said
        host.backend.stop()
        host.open()
        assert host.has(vm, card)
        assert host.backend.vusb.get_state(VmId(vm.id), keys).plugged
        host.backend.vusb.unplug(TASK, VmId(vm.id), keys)
        assert driver(USB / f"{KEYBOARD}:1.0") == "usbhid"
        host.unplug(vm, card)
        assert not sees(console, CARD_IN_GUEST)
        assert not sees(console, "QEMU USB Keyboard")
        assert driver(PCI / CARD) == "e1000e"
        host.plug(vm, card)
        until(lambda: sees(console, CARD_IN_GUEST))
    host.end(vm)
    assert driver(PCI / CARD) == "e1000e"


def test_a_device_is_one_guests_until_that_has_ended_however_it_ends(host: Host) -> None:
    first = host.start("first", CARD)
    second = host.start("second", CARD)
    host.plug(first, pci(CARD, "first"))
    host.backend.vusb.plug(TASK, VmId("first"), keyboard("first"))
    assert "in use by VM first" in words(lambda: host.plug(second, pci(CARD, "second")))
    twin = keyboard("second")
    assert "in use by VM first" in words(lambda: host.backend.vusb.plug(TASK, VmId("second"), twin))
    host.kill(first)
    until(lambda: host.backend.vm.get_domain_action_request(first) is DomainAction.CRASHDUMP)
    host.end(first)
    assert (driver(PCI / CARD), driver(USB / f"{KEYBOARD}:1.0")) == ("e1000e", "usbhid")
    host.plug(second, pci(CARD, "second"))
    assert host.has(second, pci(CARD, "second"))
    host.end(second)
    assert driver(PCI / CARD) == "e1000e"


def test_what_the_iommu_cannot_keep_apart_goes_together(host: Host) -> None:
    alone = host.start("alone", TWIN)
    said = words(lambda: host.plug(alone, pci(TWIN, "alone")))
    assert f"{OTHER_TWIN} (driver 8139cp), which this host uses" in said
    assert driver(PCI / TWIN) == "8139cp"
    host.end(alone)
    both = host.start("both", TWIN, OTHER_TWIN)
    for name in (TWIN, OTHER_TWIN):
        host.plug(both, pci(name, "both"))
    assert all(host.has(both, pci(name, "both")) for name in (TWIN, OTHER_TWIN))
    host.end(both)
    assert {driver(PCI / name) for name in (TWIN, OTHER_TWIN)} == {"8139cp"}


def test_a_machine_that_has_had_a_usb_device_is_suspended_and_resumed_with_its_controller(host: Host) -> None:
    vm, image = host.start("keeper"), LocalDisk(path=str(host.directory / "image"))
    keys, verbs = keyboard("keeper"), host.backend.vm
    host.backend.vusb.plug(TASK, VmId(vm.id), keys)
    assert "VUSB vusb1-2 of this host" in words(lambda: verbs.save(TASK, vm, image, live=False))
    host.backend.vusb.unplug(TASK, VmId(vm.id), keys)
    verbs.save(TASK, vm, image, live=False)
    host.end(vm)
    verbs.create(TASK, vm, Devices(), CreateOptions())
    verbs.restore(TASK, vm, Devices(), image)
    host.backend.vusb.plug(TASK, VmId(vm.id), keys)
    assert host.backend.vusb.get_state(VmId(vm.id), keys).plugged
    host.end(vm)
