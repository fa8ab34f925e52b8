"""A QEMU backend with the tiny guest, without worker or bus, for tests of what really happens."""

import atexit
import hashlib
import os
import queue
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Self

import pytest
from engine.backend import Backend, CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId, VmId
from schema.objects.disk import BusType, LocalDisk, Vdi
from schema.objects.dynamic import ObjectId
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm, VmState
from stack.console import Console
from stack.guest import guest_in
from worker_kvm.accelerator import find_qemu
from worker_kvm.network import make_namespace, remove_namespace
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.sweep import end_domains, find_strays
from worker_kvm.qemu.user import find_user

GUEST = guest_in(Path("var/guest"))
PATIENCE_S = 120.0
MIB = 1 << 20
QEMU_USERS = "2000000000-2000065535"
VM = VmId("guest")


class Host:
    """A backend, a guest, and what the backend has told of changes."""

    def __init__(self, directory: Path, *, bridged: bool = True) -> None:
        self.directory = directory
        self.namespace = f"xenops-test-{os.getpid()}"
        if bridged:
            make_namespace(self.namespace, "xenbr0", "xenbr1")
        self.settings = QemuSettings(
            directory / "run",
            find_qemu(),
            "tcg",
            bridged,
            self.namespace if bridged else None,
            user=find_user(QEMU_USERS) if os.geteuid() == 0 else None,
            kept=directory / "kept",
        )
        self.changes: queue.Queue[ObjectId] = queue.Queue()
        self.task = SuiteExecution()
        self.open()

    def open(self) -> None:
        self.backend: Backend = Qemu(self.settings)
        self.backend.start(self.changes.put)

    def vm(self, then: str = "", **fields: object) -> Vm:
        usual = {
            "memory_static_max": 96 * MIB,
            "memory_dynamic_max": 96 * MIB,
            "memory_dynamic_min": 96 * MIB,
            "vcpus": 1,
            "vcpu_max": 1,
        }
        return sample_vm(VM, ty=GUEST.builder(f"xenops.then={then}"), **(usual | fields))

    def disk(self, name: str, size: str = "8M") -> LocalDisk:
        path = self.directory / name
        kind = "qcow2" if name.endswith(".qcow2") else "raw"
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, str(path), size], check=True)
        return LocalDisk(path=str(path))

    def create(self, vm: Vm) -> None:
        self.backend.vm.create(self.task, vm, Devices(), CreateOptions())
        self.backend.vm.build(self.task, vm, Devices(), force=False)

    def launch(self, vm: Vm) -> None:
        self.backend.vm.create_device_model(self.task, vm, Devices(), save_state=False)
        self.backend.vm.set_domain_action_request(vm, None)

    def start(self, vm: Vm) -> None:
        self.create(vm)
        self.launch(vm)

    def plug(self, vbd: Vbd) -> None:
        self.backend.vbd.attach(self.task, VM, vbd)
        self.backend.vbd.activate(self.task, VM, vbd)

    def unplug(self, vbd: Vbd) -> None:
        self.backend.vbd.deactivate(self.task, VM, vbd, force=False)
        self.backend.vbd.detach(self.task, VM, vbd)

    def up(self, vm: Vm) -> Console:
        """A guest without devices whose userland is up and takes commands: of an image, made by the first."""
        image = _booted() / hashlib.sha256(vm.model_dump_json().encode()).hexdigest()
        disk, verbs = LocalDisk(path=str(image)), self.backend.vm
        if not image.exists():
            self._boot_into(disk, vm)
        verbs.create(self.task, vm, Devices(), CreateOptions())
        verbs.restore(self.task, vm, Devices(), disk)
        verbs.create_device_model(self.task, vm, Devices(), save_state=True)
        verbs.set_domain_action_request(vm, None)
        console = self.console(vm)
        verbs.unpause(self.task, vm)
        console.say("echo it is he\\re")
        line(console, "it is here")
        return console

    def _boot_into(self, disk: LocalDisk, vm: Vm) -> None:
        self.start(vm)
        with self.console(vm) as console:
            self.backend.vm.unpause(self.task, vm)
            line(console, "userland is up")
        self.backend.vm.save(SuiteExecution(), vm, disk, live=False)
        self.backend.vm.destroy_device_model(self.task, vm)
        self.backend.vm.remove(vm)

    def state(self, vm: Vm) -> VmState:
        return self.backend.vm.get_state(vm)

    def asks(self, vm: Vm) -> DomainAction | None:
        return self.backend.vm.get_domain_action_request(vm)

    def console(self, vm: Vm) -> Console:
        return Console(self.state(vm).consoles[-1].path, self.directory / "transcript")

    def told(self) -> ObjectId:
        return self.changes.get(timeout=PATIENCE_S)

    def pid(self) -> int:
        [stray] = find_strays(self.settings.run)
        return stray.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.backend.stop()
        finally:
            end_domains(self.settings.run)
            remove_namespace(self.namespace)


def xvd(letter: str, backend: LocalDisk | Vdi, **fields: object) -> Vbd:
    position = (BusType.XEN, "abcdef".index(letter), 0)
    usual = {"id": DeviceId(VM, f"xvd{letter}"), "position": position, "backend": backend}
    return Vbd.model_validate(usual | fields)


def vif(number: int, **fields: object) -> Vif:
    usual = {"id": DeviceId(VM, str(number)), "position": number, "mac": f"52:54:00:00:00:{number:02x}"}
    return Vif.model_validate(usual | fields)


def line(console: Console, words: str) -> str:
    for found in console.lines(PATIENCE_S):
        if words in found:
            return found
    pytest.fail(f"the guest never said {words!r}")


@cache
def _booted() -> Path:
    """Where images of guests are that are up, for all tests of this process: to boot takes ten times as long.

    It goes with the process, and is not there for those who only collect tests.
    """
    place = Path(tempfile.mkdtemp(prefix="xenops-booted-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
