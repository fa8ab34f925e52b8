"""A backend on the emulated computer, by QEMU itself or by libvirt, and VMs with their host's devices."""

import os
import shutil
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest
from engine.backend import Backend, CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm, sample_vusb
from engine.conformance.subject import refusal
from qemu_host import PATIENCE_S, QEMU_USERS
from schema.ids import DeviceId, VmId
from schema.objects.errors import InternalError
from schema.objects.pci import Pci, PciAddress
from schema.objects.vm import DirectBoot, PvDirectBoot, Pvh, PvInfo, Vm
from schema.objects.vusb import Vusb
from stack.console import Console
from stack.libvirtd import LibvirtDaemon
from typing_extensions import override
from worker_kvm.accelerator import Accelerator, find_qemu
from worker_kvm.libvirt.backend import Libvirt
from worker_kvm.libvirt.hypervisor import LibvirtSettings
from worker_kvm.libvirt.persistent_state import identity, name_of
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.sweep import end_domains, find_strays
from worker_kvm.qemu.user import find_user

GUEST = Path(__file__).resolve().parents[3] / "var" / "devices" / "current"
PCI, USB = Path("/sys/bus/pci/devices"), Path("/sys/bus/usb/devices")
CARD, TWIN, OTHER_TWIN, KEYBOARD = "0000:00:10.0", "0000:00:11.0", "0000:00:11.1", "1-1"
"""As tools/device_host.py puts them in."""

CARD_IN_GUEST = "8086:10d3"
SEE = (
    "for d in /sys/bus/pci/devices/*; do read v <$d/vendor; read e <$d/device; echo ${v#0x}:${e#0x}; done; "
    "for p in /sys/bus/usb/devices/*/product; do read n <$p; echo $n; done; echo seen $((1 + 1))"
)
INSTANCE = "devices"
ACCELERATOR: Accelerator = "kvm"
"""Not probed: nothing there is as fast as a probe awaits, and emulation within emulation takes hours."""

MIB = 1 << 20
TASK = SuiteExecution()
_POLL_S = 0.1


class Host(ABC):
    """A backend, and VMs with its host's devices."""

    backend: Backend

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="xd-"))
        self.open()

    @abstractmethod
    def open(self) -> None:
        """As a worker that starts."""

    @abstractmethod
    def pid(self, vm: Vm) -> int:
        """The process of a VM's QEMU."""

    @abstractmethod
    def end_all(self) -> None:
        """End every QEMU that is left."""

    def close(self) -> None:
        try:
            self.backend.stop()
        finally:
            self.end_all()
            shutil.rmtree(self.directory)

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

    def kill(self, vm: Vm) -> None:
        os.kill(self.pid(vm), signal.SIGKILL)

    def end(self, vm: Vm) -> None:
        self.backend.vm.destroy_device_model(TASK, vm)
        self.backend.vm.destroy(TASK, vm)


class QemuHost(Host):
    """By QEMU itself, as another user than root."""

    @override
    def open(self) -> None:
        self.settings = QemuSettings(
            self.directory / "run", find_qemu(), ACCELERATOR, bridged=False, user=find_user(QEMU_USERS)
        )
        self.backend = Qemu(self.settings)
        self.backend.start(lambda _: None)

    @override
    def pid(self, vm: Vm) -> int:
        [found] = [stray for stray in find_strays(self.settings.run) if stray.vm == vm.id]
        return found.process.pid

    @override
    def end_all(self) -> None:
        end_domains(self.settings.run)


class LibvirtHost(Host):
    """By a libvirtd, which all tests have."""

    def __init__(self, daemon: LibvirtDaemon) -> None:
        self.daemon = daemon
        super().__init__()

    @override
    def open(self) -> None:
        settings = LibvirtSettings(
            self.directory / "run",
            self.daemon.uri,
            self.daemon.logs,
            INSTANCE,
            ACCELERATOR,
            bridged=False,
        )
        self.backend = Libvirt(settings)
        self.backend.start(lambda _: None)

    @override
    def pid(self, vm: Vm) -> int:
        domain = name_of(identity(INSTANCE, vm.id))
        return int((self.daemon.directory / "run" / "qemu" / f"{domain}.pid").read_text())

    @override
    def end_all(self) -> None:
        self.daemon.destroy_all()


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
