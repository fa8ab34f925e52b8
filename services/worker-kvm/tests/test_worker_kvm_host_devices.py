"""The verbs on PCI and USB devices, with a host and a QEMU in hand."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest
from devices_in_hand import AUDIO, GPU, NIC, VFIO, A, B, Host, Kernel, pci
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vusb
from engine.conformance.subject import refusal
from engine.hosted.usbfs import Usbfs
from schema.ids import DeviceId
from schema.objects.errors import DomainNotBuilt, InternalError
from worker_kvm.hostdevices import TakenGroup
from worker_kvm.qemu.machine import Process
from worker_kvm.qemu.pcis import QemuPcis
from worker_kvm.qemu.user import User
from worker_kvm.qemu.vusbs import QemuVusbs
from worker_kvm.vfio import Vfio

TASK = SuiteExecution()
DEAD = Process(pid=2**22 + 1, started=1)


@pytest.fixture(name="kernel")
def make_kernel(tmp_path: Path) -> Kernel:
    kernel = Kernel(tmp_path)
    kernel.add_pci(NIC, "e1000e", 8)
    kernel.add_pci(GPU, "nouveau", 7)
    kernel.add_pci(AUDIO, "snd_hda_intel", 7)
    kernel.add_usb("1-2", 4, drivers=("usbhid",))
    kernel.usual["1-2:1.0"] = "usbhid"
    return kernel


@pytest.fixture(name="host")
def make_host() -> Host:
    return Host(own_pcis=(NIC, GPU, AUDIO))


@pytest.fixture(name="pcis")
def make_pcis(kernel: Kernel, host: Host) -> QemuPcis:
    return QemuPcis(host.as_hypervisor(), Vfio(kernel.sysfs, kernel.nodes, kernel.write, 0.0))


@pytest.fixture(name="usbs")
def make_usbs(kernel: Kernel, host: Host) -> QemuVusbs:
    return QemuVusbs(host.as_hypervisor(), Usbfs(kernel.sysfs, kernel.nodes, kernel.write))


@pytest.fixture(autouse=True)
def have_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be this process's own, which plays the QEMUs'."""
    monkeypatch.setattr(resource, "prlimit", lambda *_: (resource.RLIM_INFINITY,) * 2)


def words(act: Any) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def groups(host: Host, vm: str = "a") -> tuple[TakenGroup, ...]:
    return host.look(vm).living().groups


def test_a_pci_device_is_the_guests_and_then_the_hosts_again(
    kernel: Kernel, host: Host, pcis: QemuPcis
) -> None:
    nic, qemu = pci(NIC), host.qemus["a"]
    assert not pcis.get_state(A, nic).plugged
    for _ in range(2):
        pcis.plug(TASK, A, nic, use_qmp=True)
    assert pcis.get_state(A, nic).plugged
    added = {"driver": "vfio-pci", "id": "pci7", "host": NIC, "bus": "port7"}
    assert qemu.done == [("device_add", added)]
    assert kernel.driver(NIC) == VFIO
    for _ in range(2):
        pcis.unplug(TASK, A, nic)
    assert (kernel.driver(NIC), groups(host), qemu.there) == ("e1000e", (), set())
    assert not pcis.get_state(A, nic).plugged


def test_a_whole_group_goes_and_comes_back_with_its_last_device(kernel: Kernel, pcis: QemuPcis) -> None:
    gpu, audio = pci(GPU), pci(AUDIO, position=1)
    pcis.plug(TASK, A, gpu, use_qmp=True)
    assert kernel.driver(AUDIO) == VFIO
    pcis.plug(TASK, A, audio, use_qmp=True)
    pcis.unplug(TASK, A, gpu)
    assert kernel.driver(GPU) == VFIO
    pcis.unplug(TASK, A, audio)
    assert (kernel.driver(GPU), kernel.driver(AUDIO)) == ("nouveau", "snd_hda_intel")


def test_what_qemu_does_not_take_the_host_has_again(kernel: Kernel, host: Host, pcis: QemuPcis) -> None:
    host.qemus["a"].refuses = "vfio-pci"
    assert "QEMU does not want it" in words(lambda: pcis.plug(TASK, A, pci(NIC), use_qmp=True))
    assert (kernel.driver(NIC), host.look("a").living().pcis, groups(host)) == ("e1000e", (), ())


def test_a_second_vm_is_refused(pcis: QemuPcis) -> None:
    pcis.plug(TASK, A, pci(NIC), use_qmp=True)
    assert "in use by VM a" in words(lambda: pcis.plug(TASK, B, pci(NIC, "b"), use_qmp=True))
    assert pcis.get_state(A, pci(NIC)).plugged


def test_a_vm_without_a_qemu_gets_nothing(host: Host, pcis: QemuPcis) -> None:
    del host.qemus["a"]
    assert refusal(lambda: pcis.plug(TASK, A, pci(NIC), use_qmp=True)) == DomainNotBuilt()


def test_a_guest_that_does_not_let_go_keeps_it(kernel: Kernel, host: Host, pcis: QemuPcis) -> None:
    pcis.plug(TASK, A, pci(NIC), use_qmp=True)
    host.qemus["a"].lets_go = False
    assert "did not let go of PCI device 0000:03:00.0" in words(lambda: pcis.unplug(TASK, A, pci(NIC)))
    assert kernel.driver(NIC) == VFIO


def test_a_guest_that_lets_go_by_itself_asks_to_be_rid_of_it(host: Host, pcis: QemuPcis) -> None:
    assert not pcis.wants_unplug(A, pci(NIC))
    pcis.plug(TASK, A, pci(NIC), use_qmp=True)
    assert not pcis.wants_unplug(A, pci(NIC))
    host.qemus["a"].there.clear()
    assert pcis.wants_unplug(A, pci(NIC))


def test_of_a_qemu_that_was_killed_the_host_has_all_again(kernel: Kernel, host: Host, pcis: QemuPcis) -> None:
    pcis.plug(TASK, A, pci(NIC), use_qmp=True)
    pcis.plug(TASK, A, pci(GPU, position=1), use_qmp=True)
    host.qemus["a"].process = DEAD
    host.qemus["a"].lets_go = False
    pcis.unplug(TASK, A, pci(NIC))
    assert kernel.driver(NIC) == "e1000e"
    pcis.let_go("a")
    pcis.let_go("a")
    assert (kernel.driver(GPU), groups(host)) == ("nouveau", ())


def test_a_driver_that_fails_keeps_no_vm_alive(
    kernel: Kernel, host: Host, pcis: QemuPcis, caplog: pytest.LogCaptureFixture
) -> None:
    pcis.plug(TASK, A, pci(NIC), use_qmp=True)
    kernel.refuses = "drivers_probe"
    assert "cannot be given back" in words(lambda: pcis.unplug(TASK, A, pci(NIC)))
    del host.qemus["a"]
    pcis.let_go("a")
    assert "cannot be given back to this host's driver e1000e" in caplog.text


def test_a_device_that_qemu_may_have_is_not_taken_from_under_it(
    kernel: Kernel, host: Host, pcis: QemuPcis
) -> None:
    qemu = host.qemus["a"]
    qemu.refuses, qemu.lets_go = "vfio-pci", False
    assert "QEMU does not want it" in words(lambda: pcis.plug(TASK, A, pci(NIC), use_qmp=True))
    assert kernel.driver(NIC) == VFIO
    assert pcis.wants_unplug(A, pci(NIC))


def test_a_halted_vm_has_nothing_to_give_back(host: Host, pcis: QemuPcis, usbs: QemuVusbs) -> None:
    host.change("a", lambda machine: machine.but(domain=None))
    pcis.let_go("a")
    usbs.let_go("a")
    pcis.unplug(TASK, A, pci(NIC))
    usbs.unplug(TASK, A, sample_vusb("a"))
    assert not usbs.get_state(A, sample_vusb("a")).plugged


def test_a_groups_file_is_the_users_meanwhile(pcis: QemuPcis, host: Host) -> None:
    me = (os.getuid(), os.getgid())
    host.settings.user = User("me", me[0] - 1, me[1] - 1, count=2)  # domain 1 has the second
    pcis.plug(TASK, A, pci(NIC), use_qmp=True)
    assert groups(host)[0].owner == me
    pcis.unplug(TASK, A, pci(NIC))
    pcis.dequarantine(pci(NIC).address)


def test_qemu_may_hold_the_guests_memory_or_it_is_said(
    monkeypatch: pytest.MonkeyPatch, pcis: QemuPcis, kernel: Kernel
) -> None:
    asked = []

    def prlimit(pid: int, what: int, limits: tuple[int, int] | None = None) -> tuple[int, int]:
        assert (pid, what) == (os.getpid(), resource.RLIMIT_MEMLOCK)
        if limits is None:
            return (8 << 20, 8 << 20)
        asked.append(limits)
        if len(asked) > 1:
            raise PermissionError(1, "Operation not permitted")
        return limits

    monkeypatch.setattr(resource, "prlimit", prlimit)
    pcis.plug(TASK, A, pci(NIC), use_qmp=True)
    assert asked == [((256 << 20) + (1 << 30),) * 2]
    said = words(lambda: pcis.plug(TASK, A, pci(GPU, position=1), use_qmp=True))
    assert "its limit is 8 MiB" in said
    assert kernel.driver(GPU) == "nouveau"


def test_a_usb_device_is_the_guests_and_then_the_hosts_again(host: Host, usbs: QemuVusbs) -> None:
    usb, qemu = sample_vusb("a"), host.qemus["a"]
    for _ in range(2):
        usbs.plug(TASK, A, usb)
    assert usbs.get_state(A, usb).plugged
    drivers = [words["driver"] for command, words in qemu.done if command == "device_add"]
    assert drivers == ["qemu-xhci", "usb-host"]
    assert (qemu.there, qemu.lent) == ({"usb", "usb0"}, ["usb0"])
    for _ in range(2):
        usbs.unplug(TASK, A, usb)
    assert (qemu.there, qemu.lent, host.look("a").living().usbs) == ({"usb"}, [], ())
    usbs.plug(TASK, A, usb)
    assert qemu.there == {"usb", "usb1"}


def test_a_usb_device_that_was_pulled_out_comes_anew(host: Host, usbs: QemuVusbs) -> None:
    usb, qemu = sample_vusb("a"), host.qemus["a"]
    assert not usbs.wants_unplug(A, usb)
    usbs.plug(TASK, A, usb)
    assert not usbs.wants_unplug(A, usb)
    qemu.attached = False
    assert usbs.wants_unplug(A, usb)
    assert not usbs.get_state(A, usb).plugged
    usbs.plug(TASK, A, usb)
    assert qemu.there == {"usb", "usb1"}
    qemu.there.discard("usb1")
    assert usbs.wants_unplug(A, usb)


def test_a_qemu_that_does_not_answer_has_what_it_had(host: Host, usbs: QemuVusbs) -> None:
    usbs.plug(TASK, A, sample_vusb("a"))
    host.qemus["a"].answers = False
    assert usbs.get_state(A, sample_vusb("a")).plugged


def test_a_usb_device_that_qemu_does_not_take_is_the_hosts(host: Host, usbs: QemuVusbs) -> None:
    host.qemus["a"].refuses = "usb-host"
    assert "QEMU does not want it" in words(lambda: usbs.plug(TASK, A, sample_vusb("a")))
    assert (host.look("a").living().usbs, host.qemus["a"].lent) == ((), [])


def test_a_usb_device_is_one_vms(usbs: QemuVusbs) -> None:
    usbs.plug(TASK, A, sample_vusb("a"))
    twin = sample_vusb("b", id=DeviceId("b", "twin"))
    assert "in use by VM a" in words(lambda: usbs.plug(TASK, B, twin))


def test_a_usb_device_that_qemu_keeps_is_told(host: Host, usbs: QemuVusbs) -> None:
    usbs.plug(TASK, A, sample_vusb("a"))
    host.qemus["a"].lets_go = False
    assert "did not let go of VUSB vusb1-2" in words(lambda: usbs.unplug(TASK, A, sample_vusb("a")))


def test_usb_devices_of_a_qemu_that_was_killed_have_their_drivers_again(
    kernel: Kernel, host: Host, usbs: QemuVusbs
) -> None:
    usbs.plug(TASK, A, sample_vusb("a"))
    (kernel.sysfs / "bus/usb/devices/1-2:1.0/driver").unlink()
    del host.qemus["a"]
    usbs.let_go("a")
    assert kernel.said == ["usb/drivers_probe 1-2:1.0"]
    assert host.look("a").living().usbs == ()
