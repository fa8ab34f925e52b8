"""PCI devices on classic, around real xenstoreds: given, taken, asked for; what is refused, and how."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from engine.backend import Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, refusal
from hvm_in_hand import have_programs
from schema.ids import DeviceId
from schema.objects.errors import AlreadyExists, DeviceDetachRejected, InternalError, Unimplemented
from schema.objects.pci import Pci, PciAddress
from schema.objects.vm import Pv, Pvh, Vm
from test_classic_conformance import ClassicHvmSubject, ClassicSubject, standing
from test_classic_deaths import make_subject, nothing_is_left
from worker_xen.classic.hvm import passing
from worker_xen.classic.machine import with_pci
from worker_xen.classic.pciback import number_of
from worker_xen.libxc.values import HostDevice
from worker_xen.xenstore.devices import BusState
from worker_xen.xenstore.tree import Node

__all__ = ["make_subject", "nothing_is_left"]


@dataclass
class Given:
    """A VM that was started with two devices, and the first of them."""

    subject: ClassicSubject
    life: Life

    @property
    def domid(self) -> int:
        return self.subject.backend.vm.get_state(self.life.vm).domids[0]

    @property
    def folder(self) -> str:
        return f"/local/domain/0/backend/pci/{self.domid}/0"

    def plug(self, pci: Pci) -> None:
        self.subject.backend.pci.plug(SuiteExecution(), self.life.id, pci, use_qmp=True)

    def unplug(self, pci: Pci) -> None:
        self.subject.backend.pci.unplug(SuiteExecution(), self.life.id, pci)

    def is_plugged(self, pci: Pci) -> bool:
        return self.subject.backend.pci.get_state(self.life.id, pci).plugged


def pci(vm: Vm, number: int, position: int | None = None) -> Pci:
    address = PciAddress(domain=0, bus=1, dev=number, fn=0)
    place = number if position is None else position
    return Pci(id=DeviceId(vm.id, str(number)), position=place, address=address)


@pytest.fixture(name="given")
def start(subject: ClassicSubject) -> Given:
    vm = subject.make_vm()
    life = Life(subject, vm, Devices(pcis=(pci(vm, 0), pci(vm, 1))))
    life.start()
    return Given(subject, life)


def test_devices_come_one_by_one_and_go_one_by_one(given: Given) -> None:
    first, second = given.life.devices.pcis
    for device in (first, second, first):
        given.plug(device)
        assert given.is_plugged(device)
    store, host = given.subject.host.store, given.subject.host
    assert host.given == {number_of(device.address): given.domid for device in (first, second)}
    assert store.read(f"{given.folder}/num_devs") == b"2"
    assert store.read(f"{given.folder}/dev-1") == b"0000:01:01.0"
    given.unplug(first)
    given.unplug(first)
    assert not given.is_plugged(first)
    assert store.read(f"{given.folder}/dev-0") is None
    assert host.given == {number_of(second.address): given.domid}
    given.unplug(second)
    assert not store.names(given.folder)
    assert not host.given
    given.life.stop()


def test_what_a_worker_had_given_and_not_noted_as_it_died_is_not_given_anew(given: Given) -> None:
    first, _ = given.life.devices.pcis
    given.plug(first)
    given.subject.host.store.write([Node(f"{given.folder}/vdev-0", "0000:00:00.00")])  # as pciback does
    hypervisor = given.subject.backend._hypervisor  # type: ignore[attr-defined]
    begun = hypervisor.find(given.life.id).machine.pci(first.id).model_copy(update={"plugged": False})
    hypervisor.change(given.life.id, lambda machine: with_pci(machine, begun, there=True))
    given.subject.host.has_iommu = False  # it would be refused now
    given.plug(first)
    assert given.is_plugged(first)
    assert given.subject.host.store.read(f"{given.folder}/num_devs") == b"1"
    given.life.stop()


def test_a_guest_that_runs_is_told_and_asked(given: Given) -> None:
    first, second = given.life.devices.pcis
    given.plug(first)
    given.subject.let_boot(given.life.vm)
    store = given.subject.host.store
    store.write([Node(f"{given.folder}/state", str(int(BusState.CONNECTED)))])
    given.plug(second)
    assert store.read(f"{given.folder}/state-1") is not None
    given.unplug(second)
    assert store.read(f"{given.folder}/state") == b"4"
    assert given.is_plugged(first)
    given.life.stop()
    assert not given.is_plugged(first)


def test_without_an_iommu_nothing_is_given(given: Given) -> None:
    given.subject.host.has_iommu = False
    first, _ = given.life.devices.pcis
    error = refusal(partial(given.plug, first))
    assert isinstance(error, InternalError)
    assert "iommu=1" in error.message
    assert not given.is_plugged(first)
    given.life.stop()


def test_what_pciback_complains_of_is_told_and_nothing_is_given(given: Given) -> None:
    first, _ = given.life.devices.pcis
    given.subject.host.complaint = "no such slot"
    error = refusal(partial(given.plug, first))
    assert isinstance(error, InternalError)
    assert "no such slot" in error.message
    assert not given.subject.host.given
    given.life.stop()


def test_two_devices_do_not_take_the_same_position(given: Given) -> None:
    first, _ = given.life.devices.pcis
    given.plug(first)
    error = refusal(lambda: given.plug(pci(given.life.vm, 2, position=first.position)))
    assert error == AlreadyExists(klass="pci", id="0")
    given.life.stop()


def test_a_vm_that_was_started_without_devices_gets_none(subject: ClassicSubject) -> None:
    life = Life(subject, subject.make_vm(), Devices())
    life.start()
    given = Given(subject, life)
    error = refusal(lambda: given.plug(pci(life.vm, 0)))
    assert isinstance(error, InternalError)
    assert "pci_passthrough" in error.message
    life.stop()


def test_a_pvh_guest_gets_none(subject: ClassicSubject) -> None:
    vm = subject.make_vm()
    assert isinstance(vm.ty, Pv)
    vm = vm.model_copy(update={"ty": Pvh(info=vm.ty.info)})
    life = Life(subject, vm, Devices(pcis=(pci(vm, 0),)))
    life.start()
    error = refusal(lambda: Given(subject, life).plug(pci(vm, 0)))
    assert error == Unimplemented(what="PCI.plug to a PVH guest on classic")
    life.stop()


@pytest.fixture(name="hvm")
def start_hvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """An HVM guest that was started with a device, and runs."""
    have_programs(tmp_path, monkeypatch)
    with standing("xenstored", ClassicHvmSubject, tmp_path) as subject:
        vm = subject.make_vm()
        life = Life(subject, vm, Devices(pcis=(pci(vm, 0),)))
        life.start()
        subject.let_boot(vm)
        yield Given(subject, life)
        subject.backend.vm.destroy_device_model(SuiteExecution(), vm)
        subject.backend.pci.unplug(SuiteExecution(), life.id, life.devices.pcis[0])
        life.stop()
        subject.end_device_models()
        assert not subject.host.given


def shown(given: Given) -> set[str]:
    """What its device model shows it beside what it began with."""
    found = given.subject.emulators.do(given.domid, "qom-list", {"path": "/machine/peripheral"})
    return {entry["name"] for entry in found if entry["name"].startswith("pci-pt-")}


def test_an_hvm_guest_is_shown_a_device_and_lets_go_of_it(hvm: Given) -> None:
    (device,) = hvm.life.devices.pcis
    for _ in range(2):
        hvm.plug(device)
        hvm.plug(device)
        assert hvm.is_plugged(device)
        assert shown(hvm) == {"pci-pt-01_00.0"}
        assert hvm.subject.host.given == {number_of(device.address): hvm.domid}
        hvm.unplug(device)
        hvm.unplug(device)
        assert not hvm.is_plugged(device)
        assert not shown(hvm)
        assert not hvm.subject.host.given


def test_a_device_model_that_may_show_devices_has_root_s_rights_and_no_other_has(hvm: Given) -> None:
    assert "-chroot" not in words_of_model(hvm)
    assert "-xen-domid-restrict" not in words_of_model(hvm)
    life = Life(hvm.subject, hvm.subject.make_vm(), Devices())
    life.start()
    assert "-chroot" in words_of_model(Given(hvm.subject, life))
    life.stop()


def words_of_model(given: Given) -> list[str]:
    pid = Path(given.subject.emulators.screen(given.domid)).with_name("pid").read_text().strip()
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_a_device_that_an_hvm_guest_keeps_is_not_taken(hvm: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches it by itself, without anybody in between; once it is shut down, it does not."""
    (device,) = hvm.life.devices.pcis
    hvm.plug(device)
    monkeypatch.setattr(passing, "TIMEOUT_S", 0.2)
    hvm.subject.emulators.guests_listen = False
    error = refusal(lambda: hvm.unplug(device))
    assert isinstance(error, DeviceDetachRejected)
    assert "has not let go of it within 0.2 s" in error.reason
    hvm.subject.backend.vm.pause(SuiteExecution(), hvm.life.vm)
    error = refusal(lambda: hvm.unplug(device))
    assert isinstance(error, DeviceDetachRejected)
    assert "the guest is paused" in error.reason
    assert hvm.is_plugged(device)
    assert hvm.subject.host.given


def test_what_a_worker_had_given_and_not_shown_as_it_died_is_shown(hvm: Given) -> None:
    (device,) = hvm.life.devices.pcis
    hvm.subject.host.give(hvm.domid, HostDevice(number_of(device.address)))
    hvm.subject.reopen()
    hvm.plug(device)
    assert shown(hvm)
    hypervisor = hvm.subject.backend._hypervisor  # type: ignore[attr-defined]
    held = hypervisor.find(hvm.life.id).machine.pci(device.id)
    assert held is not None
    unnoted = held.model_copy(update={"plugged": False})
    hypervisor.change(hvm.life.id, lambda machine: with_pci(machine, unnoted, there=True))
    hvm.subject.reopen()
    hvm.plug(device)
    assert hvm.is_plugged(device)


def test_a_device_that_is_shown_by_something_else_is_only_given(hvm: Given) -> None:
    (device,) = hvm.life.devices.pcis
    hvm.subject.backend.pci.plug(SuiteExecution(), hvm.life.id, device, use_qmp=False)
    assert not shown(hvm)
    assert hvm.is_plugged(device)


def test_an_hvm_guest_with_a_device_of_the_host_is_not_suspended(hvm: Given) -> None:
    (device,) = hvm.life.devices.pcis
    hvm.plug(device)
    verbs, vm = hvm.subject.backend.vm, hvm.life.vm
    expected = Unimplemented(what="VM.suspend of an HVM guest that has PCI devices on classic")
    assert refusal(lambda: verbs.assert_can_save(vm)) == expected
    image = hvm.subject.make_image()
    assert refusal(lambda: verbs.save(SuiteExecution(), vm, image, live=False)) == expected
