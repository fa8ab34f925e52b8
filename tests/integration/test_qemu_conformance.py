"""The QEMU backend passes what every backend must, on real QEMU; its network is a namespace of its own."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, Subject
from engine.conformance.samples import sample_vm
from schema.ids import DeviceId
from schema.objects.disk import BusType, Disk, LocalDisk
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, HvmInfo, Pv, Pvh, Vm
from stack.guest import guest_in
from typing_extensions import override
from worker_kvm.accelerator import choose_accelerator, find_qemu
from worker_kvm.network import make_namespace, remove_namespace
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.sweep import end_domains

GUEST = guest_in(Path("var/guest"))
MIB = 1 << 20

UNSUPPORTED = frozenset(
    {
        "HOST.combine_cpu_policies",
        "HOST.console_data",
        "HOST.is_compatible",
        "HOST.send_debug_keys",
        "HOST.update_guest_agent_features",
        "PCI.plug",
        "VGPU.set_active",
        "VGPU.start",
        "VIF.set_ipv4_configuration",
        "VIF.set_locking_mode",
        "VIF.set_trunks",
        "VM.assert_can_save",
        "VM.get_internal_state",
        "VM.request_rdp",
        "VM.restore",
        "VM.resume",
        "VM.run_script",
        "VM.s3resume",
        "VM.s3suspend",
        "VM.save",
        "VM.set_internal_state",
        "VM.set_shadow_multiplier",
        "VM.set_vcpus",
        "VM.set_xsdata",
        "VM.soft_reset",
        "VUSB.plug",
    }
)


class QemuSubject(Subject):
    unsupported = UNSUPPORTED

    def __init__(self, ty: Pv | Pvh | Hvm, settings: QemuSettings, disks: Path) -> None:
        self._ty = ty
        self._settings = settings
        self._disks = disks
        self._numbers = itertools.count()
        self.guest_shuts_down = not isinstance(ty, Hvm)  # the other has nothing to boot
        self.backend = Qemu(settings)
        self.backend.start(lambda _: None)

    @override
    def make_vm(self) -> Vm:
        size = 128 * MIB
        memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size // 2}
        return sample_vm(f"vm-{next(self._numbers)}", ty=self._ty, vcpus=1, vcpu_max=2, **memory)

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            position=(BusType.XEN, number, 0),
            backend=LocalDisk(path=str(self._disk(f"{vm.id}-{number}", "qcow2" if number % 2 else "raw"))),
        )

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            ty=VbdType.CDROM,
            mode=VbdMode.READ_ONLY,
            backend=LocalDisk(path=str(self._disk(f"{vm.id}-cd-{number}", "raw"))),
        )

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        return Vif(id=DeviceId(vm.id, str(number)), position=number, mac=f"52:54:00:00:00:{number:02x}")

    @override
    def make_image(self) -> Disk:
        return LocalDisk(path=str(self._disk(f"image-{next(self._numbers)}", "raw")))

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.backend = Qemu(self._settings)
        self.backend.start(lambda _: None)

    def _disk(self, name: str, kind: str) -> Path:
        path = self._disks / f"{name}.{kind}"
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, str(path), "4M"], check=True)
        return path


@pytest.fixture(name="namespace", scope="module")
def make_own_namespace() -> Iterator[str]:
    name = f"xenops-test-{os.getpid()}"
    make_namespace(name, "xenbr0", "xenbr1")
    yield name
    remove_namespace(name)


@pytest.fixture(name="qemu", scope="module")
def settle_qemu(namespace: str) -> QemuSettings:
    qemu = find_qemu()
    return QemuSettings(Path(), qemu, choose_accelerator(qemu), bridged=True, namespace=namespace)


def subject_of(ty: Pvh | Hvm, qemu: QemuSettings, directory: Path) -> Iterator[Subject]:
    settings = QemuSettings(directory / "run", qemu.qemu, qemu.accelerator, qemu.bridged, qemu.namespace)
    subject = QemuSubject(ty, settings, directory)
    yield subject
    try:
        subject.backend.stop()
    finally:
        end_domains(settings.run)


class TestQemuWithAKernel(BackendConformance):
    @pytest.fixture
    def subject(self, qemu: QemuSettings, tmp_path: Path) -> Iterator[Subject]:
        yield from subject_of(GUEST.builder(), qemu, tmp_path)


class TestQemuWithFirmware(BackendConformance):
    @pytest.fixture
    def subject(self, qemu: QemuSettings, tmp_path: Path) -> Iterator[Subject]:
        yield from subject_of(Hvm(info=HvmInfo()), qemu, tmp_path)
