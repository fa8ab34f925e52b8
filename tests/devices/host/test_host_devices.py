"""A host's devices in guests of QEMU's, on a computer with an IOMMU: given, seen, taken away, given anew."""

import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm, sample_vusb
from engine.conformance.subject import refusal
from qemu_host import PATIENCE_S, QEMU_USERS, line
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId, VmId
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError
from schema.objects.pci import Pci, PciAddress
from schema.objects.vm import DirectBoot, PvDirectBoot, Pvh, PvInfo, Vm
from schema.objects.vusb import Vusb
from stack.console import Console
from worker_kvm.accelerator import Accelerator, choose_accelerator, find_qemu
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.sweep import end_domains, find_strays
from worker_kvm.qemu.user import find_user, launcher

GUEST = Path(__file__).resolve().parents[3] / "var" / "devices" / "current"
PCI, USB = Path("/sys/bus/pci/devices"), Path("/sys/bus/usb/devices")
CARD, TWIN, OTHER_TWIN, KEYBOARD = "0000:00:10.0", "0000:00:11.0", "0000:00:11.1", "1-1"
"""As tools/device_host.py puts them in."""

CARD_IN_GUEST = "8086:10d3"
SEE = (
    "for d in /sys/bus/pci/devices/*; do read v <$d/vendor; read e <$d/device; echo ${v#0x}:${e#0x}; done; "
    "for p in /sys/bus/usb/devices/*/product; do read n <$p; echo $n; done; echo seen $((1 + 1))"
)
MIB = 1 << 20
TASK = SuiteExecution()
_POLL_S = 0.1


@functools.cache
def accelerator() -> Accelerator:
    """What boots a guest there."""
    return choose_accelerator(find_qemu(), launcher(find_user(QEMU_USERS), 0))


class Host:
    """A backend, and VMs with its host's devices."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        qemu, user = find_qemu(), find_user(QEMU_USERS)
        self.settings = QemuSettings(directory / "run", qemu, accelerator(), bridged=False, user=user)
        self.open()

    def open(self) -> None:
        self.backend = Qemu(self.settings)
        self.backend.start(lambda _: None)

    def start(self, name: str, *pcis: str) -> Vm:
        """A VM whose guest waits."""
        boot = PvDirectBoot(
            kernel=str(GUEST / "vmlinuz"),
            cmdline="console=ttyS0 quiet panic=-1 device.guest",
            ramdisk=str(GUEST / "initrd.gz"),
        )
        ty = Pvh(info=PvInfo(boot=DirectBoot(boot=boot), framebuffer=False))
        memory = dict.fromkeys(("memory_static_max", "memory_dynamic_max", "memory_dynamic_min"), 192 * MIB)
        vm = sample_vm(name, ty=ty, vcpus=1, vcpu_max=1, **memory)
        devices = Devices(pcis=tuple(pci(each, name) for each in pcis))
        verbs = self.backend.vm
        verbs.create(TASK, vm, devices, CreateOptions())
        verbs.build(TASK, vm, devices, force=False)
        verbs.create_device_model(TASK, vm, devices, save_state=False)
        verbs.set_domain_action_request(vm, None)
        return vm

    def console(self, vm: Vm) -> Console:
        return Console(self.backend.vm.get_state(vm).consoles[-1].path, self.directory / "transcript")

    def plug(self, vm: Vm, device: Pci) -> None:
        self.backend.pci.plug(TASK, VmId(vm.id), device, use_qmp=True)

    def unplug(self, vm: Vm, device: Pci) -> None:
        self.backend.pci.unplug(TASK, VmId(vm.id), device)

    def has(self, vm: Vm, device: Pci) -> bool:
        return self.backend.pci.get_state(VmId(vm.id), device).plugged

    def end(self, vm: Vm) -> None:
        self.backend.vm.destroy_device_model(TASK, vm)
        self.backend.vm.destroy(TASK, vm)


def pci(name: str, vm: str) -> Pci:
    dev, fn = name.rpartition(":")[2].split(".")
    address = PciAddress(domain=0, bus=0, dev=int(dev, 16), fn=int(fn))
    return Pci(id=DeviceId(vm, name), position=int(fn), address=address)


def keyboard(vm: str) -> Vusb:
    return sample_vusb(vm, hostbus="1", hostport="1")


def driver(device: Path) -> str | None:
    return (device / "driver").resolve().name if (device / "driver").exists() else None


def words(act: Callable[[], object]) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > end:
            pytest.fail("that never came")
        time.sleep(_POLL_S)


def sees(console: Console, what: str) -> bool:
    """Whether the guest has a device now, by what it says of all."""
    console.say(SEE)
    found = False
    for said in console.lines(PATIENCE_S):
        found = found or said.strip() == what
        if said.strip() == "seen 2":
            return found
    pytest.fail("the guest says nothing")


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    try:
        host.backend.stop()
    finally:
        end_domains(host.settings.run)


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
    [before] = find_strays(host.settings.run)
    second = host.start("second", CARD)
    host.plug(first, pci(CARD, "first"))
    host.backend.vusb.plug(TASK, VmId("first"), keyboard("first"))
    assert "in use by VM first" in words(lambda: host.plug(second, pci(CARD, "second")))
    twin = keyboard("second")
    assert "in use by VM first" in words(lambda: host.backend.vusb.plug(TASK, VmId("second"), twin))
    os.kill(before.process.pid, signal.SIGKILL)
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
