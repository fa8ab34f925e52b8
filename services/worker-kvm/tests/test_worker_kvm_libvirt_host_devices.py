"""The verbs on PCI and USB devices on libvirt, with a host and a libvirt in hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from devices_in_hand import NIC, VFIO, A, B, Kernel, Known, pci
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm, sample_vusb
from engine.conformance.subject import refusal
from engine.hosted.usbfs import Usbfs
from schema.fault import internal_error
from schema.objects.dynamic import PciObject, VusbObject
from schema.objects.errors import DomainNotBuilt, InternalError
from schema.objects.pci import Pci
from typing_extensions import override
from virt.connection import Connection
from virt.xml import Element, attribute, node
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Domain, Machine
from worker_kvm.libvirt.noticing import Noticing
from worker_kvm.libvirt.pcis import LibvirtPcis
from worker_kvm.libvirt.suspend import assert_can_save
from worker_kvm.libvirt.vusbs import LibvirtVusbs
from worker_kvm.vfio import Vfio

TASK = SuiteExecution()


@dataclass
class Guest:
    """As much of `Live` as the verbs use, and what libvirt has given it."""

    uuid: str
    is_over: bool = False
    there: dict[str, Element] = field(default_factory=dict)


@dataclass
class Host(Known[Machine, Live]):
    """As much of `Hypervisor` as the verbs use: VMs `a` and `b`, each with a domain at libvirt."""

    guests: dict[str, Guest] = field(default_factory=lambda: {name: Guest(name) for name in "ab"})
    lets_go: bool = True
    refuses: str | None = None
    """The kind of device that libvirt does not take."""
    answers: bool = True
    controller: str = "qemu-xhci"

    def __post_init__(self) -> None:
        self._machines = {
            name: Machine(
                id=name,
                domain=Domain(
                    domid=number,
                    uuid=name,
                    life="l",
                    vm=sample_vm(name),
                    created_at=0.0,
                    memory_target_bytes=0,
                    vcpus=1,
                    own_pcis=(NIC,),
                ),
            )
            for number, name in enumerate("ab", 1)
        }

    @override
    def live(self, vm: str) -> Live | None:
        return cast("Live | None", self.guests.get(vm))

    def devices(self, uuid: str) -> Element:
        ports = (node("controller", type="pci", model="pcie-root-port", index=index) for index in range(1, 3))
        usb = node("controller", type="usb", model=self.controller)
        return node("domain", node("devices", usb, *ports, *self.guests[uuid].there.values()))

    def has_device(self, uuid: str, alias: str) -> bool:
        if not self.answers:
            raise internal_error("libvirt is not reached")
        return alias in self.guests[uuid].there

    def attach(self, uuid: str, device: Element) -> None:
        if device.get("type") == self.refuses:
            raise internal_error("libvirt does not want it")
        self.guests[uuid].there[attribute(device, "alias", "name") or ""] = device

    def detach(self, live: Live, alias: str, _timeout_s: float) -> bool:
        if self.lets_go:
            self.guests[live.uuid].there.pop(alias, None)
        return self.lets_go

    def as_hypervisor(self) -> Hypervisor:
        return cast("Hypervisor", self)


@pytest.fixture(name="kernel")
def make_kernel(tmp_path: Path) -> Kernel:
    kernel = Kernel(tmp_path)
    kernel.add_pci(NIC, "e1000e", 8)
    kernel.add_usb("1-2", 4, drivers=("usbhid",))
    kernel.usual["1-2:1.0"] = "usbhid"
    return kernel


@pytest.fixture(name="host")
def make_host() -> Host:
    return Host()


@pytest.fixture(name="pcis")
def make_pcis(kernel: Kernel, host: Host) -> LibvirtPcis:
    return LibvirtPcis(host.as_hypervisor(), Vfio(kernel.sysfs, kernel.nodes, kernel.write, 0.0))


@pytest.fixture(name="usbs")
def make_usbs(kernel: Kernel, host: Host) -> LibvirtVusbs:
    return LibvirtVusbs(host.as_hypervisor(), Usbfs(kernel.sysfs, kernel.nodes, kernel.write))


def words(act: Callable[[], object]) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def plug(pcis: LibvirtPcis, device: Pci) -> None:
    pcis.plug(TASK, A, device, use_qmp=True)


def test_a_pci_device_is_the_guests_and_then_the_hosts_again(
    kernel: Kernel, host: Host, pcis: LibvirtPcis
) -> None:
    for _ in range(2):
        plug(pcis, pci(NIC))
    [device] = host.guests["a"].there.values()
    assert (device.get("type"), device.get("managed")) == ("pci", "no")
    address = device.find("./source/address")
    assert address is not None
    assert address.attrib == {"domain": "0x0", "bus": "0x3", "slot": "0x0", "function": "0x0"}
    assert attribute(device, "./address", "bus") == "2"
    assert kernel.driver(NIC) == VFIO
    assert pcis.get_state(A, pci(NIC)).plugged
    assert "in use by VM a" in words(lambda: pcis.plug(TASK, B, pci(NIC, "b"), use_qmp=True))
    for _ in range(2):
        pcis.unplug(TASK, A, pci(NIC))
    assert (kernel.driver(NIC), host.guests["a"].there) == ("e1000e", {})
    assert (host.look("a").living().pcis, host.look("a").living().groups) == ((), ())


def test_a_machine_whose_ports_are_taken_says_so(kernel: Kernel, host: Host, pcis: LibvirtPcis) -> None:
    """Also by a card that was taken by force, and that libvirt still has."""
    there = host.guests["a"].there
    for bus in ("0x01", "0x02"):
        there[bus] = node("interface", node("address", type="pci", bus=bus))
    assert "8 interfaces, PCI devices" in words(lambda: plug(pcis, pci(NIC)))
    assert kernel.driver(NIC) == "e1000e"
    del there["0x01"]
    plug(pcis, pci(NIC))
    assert attribute(there["ua-pci7"], "./address", "bus") == "1"


def test_what_libvirt_does_not_take_the_host_has_again(
    kernel: Kernel, host: Host, pcis: LibvirtPcis, usbs: LibvirtVusbs
) -> None:
    host.refuses = "pci"
    assert "libvirt does not want it" in words(lambda: plug(pcis, pci(NIC)))
    assert (kernel.driver(NIC), host.look("a").living().pcis) == ("e1000e", ())
    host.refuses = "usb"
    assert "libvirt does not want it" in words(lambda: usbs.plug(TASK, A, sample_vusb("a")))
    assert host.look("a").living().usbs == ()


def test_a_device_is_not_taken_from_under_a_domain_whose_guest_does_not_let_go(
    kernel: Kernel, host: Host, pcis: LibvirtPcis
) -> None:
    """One whose guest has ended uses it, too, as long as libvirt keeps the domain."""
    plug(pcis, pci(NIC))
    host.lets_go = False
    assert "did not let go of PCI device 0000:03:00.0" in words(lambda: pcis.unplug(TASK, A, pci(NIC)))
    assert kernel.driver(NIC) == VFIO
    host.guests["a"].is_over = True
    pcis.unplug(TASK, A, pci(NIC))
    assert kernel.driver(NIC) == "e1000e"


def test_a_libvirt_that_is_not_reached_has_what_it_had(
    kernel: Kernel, host: Host, pcis: LibvirtPcis, usbs: LibvirtVusbs
) -> None:
    plug(pcis, pci(NIC))
    usbs.plug(TASK, A, sample_vusb("a"))
    host.answers = False
    assert pcis.get_state(A, pci(NIC)).plugged
    assert not pcis.wants_unplug(A, pci(NIC))
    assert usbs.get_state(A, sample_vusb("a")).plugged
    assert kernel.driver(NIC) == VFIO


def test_a_domain_that_ended_leaves_all_to_the_host(
    kernel: Kernel, host: Host, pcis: LibvirtPcis, usbs: LibvirtVusbs
) -> None:
    plug(pcis, pci(NIC))
    usbs.plug(TASK, A, sample_vusb("a"))
    (kernel.sysfs / "bus/usb/devices/1-2:1.0/driver").unlink()
    del host.guests["a"]
    for let_go in (pcis.let_go, usbs.let_go):
        let_go("a")
    assert kernel.driver(NIC) == "e1000e"
    assert kernel.said[-1] == "usb/drivers_probe 1-2:1.0"
    assert refusal(lambda: plug(pcis, pci(NIC))) == DomainNotBuilt()


def test_a_usb_device_is_called_by_its_bus_and_number(host: Host, usbs: LibvirtVusbs) -> None:
    for _ in range(2):
        usbs.plug(TASK, A, sample_vusb("a"))
    [device] = host.guests["a"].there.values()
    address = device.find("./source/address")
    assert address is not None
    assert (device.get("type"), address.attrib) == ("usb", {"bus": "1", "device": "4"})
    usbs.unplug(TASK, A, sample_vusb("a"))
    assert host.guests["a"].there == {}


def test_a_usb_device_that_was_pulled_out_comes_anew(kernel: Kernel, host: Host, usbs: LibvirtVusbs) -> None:
    vusb = sample_vusb("a")
    usbs.plug(TASK, A, vusb)
    number = kernel.sysfs / "bus/usb/devices/1-2/devnum"
    number.rename(number.with_name("gone"))
    assert not usbs.get_state(A, vusb).plugged
    assert usbs.wants_unplug(A, vusb)
    number.write_text("5\n")
    assert not usbs.get_state(A, vusb).plugged
    usbs.plug(TASK, A, vusb)
    assert usbs.get_state(A, vusb).plugged
    assert list(host.guests["a"].there) == ["ua-usb1"]


def test_a_machine_without_a_usb_controller_says_so(host: Host, usbs: LibvirtVusbs) -> None:
    """A worker before had it started so, or it came from one of those."""
    host.controller = "none"
    assert "without a USB controller" in words(lambda: usbs.plug(TASK, A, sample_vusb("a")))
    assert host.look("a").living().usbs == ()


def test_a_vm_with_devices_of_this_host_stays_here(host: Host, pcis: LibvirtPcis, usbs: LibvirtVusbs) -> None:
    plug(pcis, pci(NIC))
    usbs.plug(TASK, A, sample_vusb("a"))
    said = words(lambda: assert_can_save(host.as_hypervisor(), sample_vm("a")))
    assert f"it has PCI device {NIC}, VUSB vusb1-2 of this host" in said


def test_a_device_that_the_guest_has_let_go_of_is_noticed(
    host: Host, pcis: LibvirtPcis, usbs: LibvirtVusbs
) -> None:
    """Also where that happened while nobody listened."""
    plug(pcis, pci(NIC))
    usbs.plug(TASK, A, sample_vusb("a"))
    noticing = Noticing(cast("Hypervisor", host), cast("Connection", None))
    found, live = host.look("a"), host.running("a")
    assert list(noticing.changed(found, live, "ua-pci7")) == [PciObject(id=pci(NIC).id)]
    assert list(noticing.changed(found, live, "ua-usb0")) == [VusbObject(id=sample_vusb("a").id)]
    assert noticing.missed(found.living(), node("domain")) == {"ua-pci7", "ua-usb0"}
    host.guests["a"].there.clear()
    assert pcis.wants_unplug(A, pci(NIC))
