"""The classic backend passes what every backend must, on a real hypervisor."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, Subject, SuiteExecution
from schema.objects.disk import Disk
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from typing_extensions import override
from worker_xen.classic.backend import open_classic
from worker_xen.settings import BINDINGS
from xen_guests import PATIENCE_S, UP, Guests, await_words

UNSUPPORTED = frozenset(
    {
        "PCI.plug",
        "VGPU.set_active",
        "VGPU.start",
        "VIF.set_ipv4_configuration",
        "VIF.set_locking_mode",
        "VIF.set_trunks",
        "VM.request_rdp",
        "VM.run_script",
        "VM.s3resume",
        "VM.s3suspend",
        "VM.set_shadow_multiplier",
        "VM.soft_reset",
        "VUSB.plug",
    }
)


class ClassicSubject(Subject):
    unsupported = UNSUPPORTED
    patience_s = PATIENCE_S

    def __init__(self, directory: Path) -> None:
        self._run = directory / "run"
        self._guests = Guests(directory)
        self._made: list[Vm] = []
        self.backend = open_classic(self._run, BINDINGS)
        self.backend.start(lambda _: None)

    @override
    def make_vm(self) -> Vm:
        vm = self._guests.vm()
        self._made.append(vm.model_copy(update={"name": vm.id}))  # by which its console is logged
        return self._made[-1]

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return self._guests.vbd(vm, number)

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return self._guests.cd(vm, number)

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        return self._guests.vif(vm, number)

    @override
    def make_image(self) -> Disk:
        return self._guests.image()

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)
        await_words(vm.id, UP)

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.backend = open_classic(self._run, BINDINGS)
        self.backend.start(lambda _: None)

    def end(self) -> None:
        for vm in self._made:
            self.backend.vm.remove(vm)
        self.backend.stop()


def domains() -> list[str]:
    """Every domain's line, as Xen's own tool has it, but for its processor's time."""
    lines = subprocess.run(["xl", "list"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    return [" ".join(line.split()[:2]) for line in lines]


class TestClassic(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        before = domains()
        subject = ClassicSubject(tmp_path)
        yield subject
        subject.end()
        assert domains() == before
