"""The libvirt backend passes what every backend must, on a real libvirtd of the test's own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, Subject, SuiteExecution
from engine.conformance.devices import DeviceConformance
from engine.conformance.suspend import SuspendConformance
from engine.conformance.vms import VmConformance
from kvm_subject import GUEST, KvmSubject
from schema.objects.vm import Hvm, HvmInfo, Pvh, Vm
from stack.libvirtd import LibvirtDaemon
from typing_extensions import override
from worker_kvm.libvirt.backend import Libvirt
from worker_kvm.libvirt.hypervisor import LibvirtSettings
from worker_kvm.network import make_namespace, remove_namespace

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


class LibvirtSubject(KvmSubject):
    unsupported = UNSUPPORTED

    def __init__(self, ty: Pvh | Hvm, settings: LibvirtSettings, disks: Path) -> None:
        super().__init__(ty, disks)
        self._settings = settings
        self.open()

    def open(self) -> None:
        self.backend = Libvirt(self._settings)
        self.backend.start(lambda _: None)

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.open()


@pytest.fixture(name="daemon", scope="module")
def run_daemon() -> Iterator[LibvirtDaemon]:
    name = f"xenops-test-{os.getpid()}"
    make_namespace(name, "xenbr0", "xenbr1")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="xl-") as directory,
            LibvirtDaemon(Path(directory), name) as daemon,
        ):
            yield daemon
    finally:
        remove_namespace(name)


@pytest.fixture(name="disks")
def make_directory(daemon: LibvirtDaemon) -> Iterator[Path]:
    """Near the daemon's: the paths of sockets are short."""
    directory = Path(tempfile.mkdtemp(prefix="xs-", dir=daemon.directory))
    yield directory
    shutil.rmtree(directory)


def subject_of(ty: Pvh | Hvm, daemon: LibvirtDaemon, disks: Path) -> Iterator[Subject]:
    settings = LibvirtSettings(
        disks / "run", daemon.uri, daemon.logs, "conformance", "tcg", namespace=daemon.namespace
    )
    subject = LibvirtSubject(ty, settings, disks)
    yield subject
    subject.backend.stop()
    daemon.destroy_all()


class TestLibvirtWithAKernel(BackendConformance):
    @pytest.fixture
    def subject(self, daemon: LibvirtDaemon, disks: Path) -> Iterator[Subject]:
        yield from subject_of(GUEST.builder(), daemon, disks)


class TestLibvirtWithFirmware(VmConformance, SuspendConformance, DeviceConformance):
    """What does not hang on the kind of guest, the other one shows."""

    @pytest.fixture
    def subject(self, daemon: LibvirtDaemon, disks: Path) -> Iterator[Subject]:
        yield from subject_of(Hvm(info=HvmInfo()), daemon, disks)
