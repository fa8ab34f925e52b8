"""The QEMU backend passes what every backend must, on real QEMU; its network is a namespace of its own."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, Subject
from kvm_subject import GUEST, KvmSubject
from qemu_host import QEMU_USERS
from schema.objects.vm import Hvm, HvmInfo, Pv, Pvh
from typing_extensions import override
from worker_kvm.accelerator import choose_accelerator, find_qemu
from worker_kvm.network import make_namespace, remove_namespace
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings
from worker_kvm.qemu.sweep import end_domains
from worker_kvm.qemu.user import find_user, launcher

UNSUPPORTED = frozenset(
    {
        "HOST.combine_cpu_policies",
        "HOST.console_data",
        "HOST.is_compatible",
        "HOST.send_debug_keys",
        "HOST.update_guest_agent_features",
        "VGPU.set_active",
        "VGPU.start",
        "VM.request_rdp",
        "VM.run_script",
        "VM.set_shadow_multiplier",
        "VM.set_xsdata",
        "VM.soft_reset",
    }
)


class QemuSubject(KvmSubject):
    unsupported = UNSUPPORTED

    def __init__(self, ty: Pv | Pvh | Hvm, settings: QemuSettings, disks: Path) -> None:
        super().__init__(ty, disks)
        self._settings = settings
        self.backend = Qemu(settings)
        self.backend.start(lambda _: None)

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.backend = Qemu(self._settings)
        self.backend.start(lambda _: None)


@pytest.fixture(name="namespace", scope="module")
def make_own_namespace() -> Iterator[str]:
    name = f"xenops-test-{os.getpid()}"
    make_namespace(name, "xenbr0", "xenbr1")
    yield name
    remove_namespace(name)


@pytest.fixture(name="qemu", scope="module")
def settle_qemu(namespace: str) -> QemuSettings:
    qemu = find_qemu()
    user = find_user(QEMU_USERS)
    accelerator = choose_accelerator(qemu, launcher(user, 0))
    return QemuSettings(Path(), qemu, accelerator, bridged=True, namespace=namespace, user=user)


def subject_of(ty: Pvh | Hvm, qemu: QemuSettings, directory: Path) -> Iterator[Subject]:
    settings = replace(qemu, run=directory / "run")
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
