"""VMs on QEMU migrate between two workers, each with services of its own, on one broker and shared disks."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from schema.objects.disk import LocalDisk
from schema.objects.vm import PowerState
from test_migration import Host, Pair, eventually, until_progress
from typing_extensions import override
from worker_kvm.qemu.sweep import end_domains, find_strays

MEMORY = ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min")


class QemuPair(Pair):
    """Two hosts with QEMU; a VM of theirs has a disk, which both reach, and nothing to boot."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs = [directory / name / "run" for name in ("here", "there")]
        super().__init__(directory)

    @override
    def open_host(self, name: str, directory: Path) -> Host:
        told = {
            "XENOPS_RUN_DIR": str(directory / name / "run"),
            "XENOPS_KVM_NETWORK": "user",
            "XENOPS_KVM_ACCELERATOR": "tcg",
        }
        return Host(name, directory, self.node.url, "worker_kvm", **told)

    @override
    def running_vm(self) -> str:
        vm = str(uuid.uuid4())
        disk = self.directory / f"{vm}.raw"
        disk.write_bytes(bytes(1 << 20))
        self.source.vm.add(sample_vm(vm, vcpus=1, vcpu_max=1, **dict.fromkeys(MEMORY, 32 << 20)))
        self.source.vbd.add(sample_vbd(vm=vm, backend=LocalDisk(path=str(disk))))
        for operate in (self.source.vm.start, self.source.vm.unpause):
            self.done(operate(vm))
        return vm

    def qemus(self) -> list[int]:
        """How many QEMUs each host has."""
        return [len(list(find_strays(run))) for run in self.runs]

    @override
    def stop(self) -> None:
        try:
            super().stop()
        finally:
            for run in self.runs:
                end_domains(run)


@pytest.fixture(name="pair", scope="module")
def run_pair() -> Iterator[QemuPair]:
    directory = Path(tempfile.mkdtemp(prefix="xm-"))
    pair = QemuPair(directory)
    yield pair
    pair.stop()
    shutil.rmtree(directory)


@pytest.mark.parametrize("compress", [False, True])
def test_a_vm_that_runs_goes_to_another_host_with_its_disk(pair: QemuPair, *, compress: bool) -> None:
    before, vm = pair.qemus(), pair.running_vm()
    pair.done(pair.migrate(vm, compress=compress))
    assert eventually(lambda: pair.where(vm)) == [pair.destination]
    assert pair.destination.vm.stat(vm)[1].power_state is PowerState.RUNNING
    assert pair.destination.vbd.stat(sample_vbd(vm=vm).id)[1].plugged
    assert pair.qemus() == [before[0], before[1] + 1]


@pytest.mark.parametrize("side", ["here", "there"])
@pytest.mark.parametrize("progress", [0.0, 0.3])
def test_whichever_worker_dies_one_qemu_has_the_vm(pair: QemuPair, side: str, progress: float) -> None:
    before, vm = pair.qemus(), pair.running_vm()
    task = pair.migrate(vm)
    until_progress(pair.source, task, progress)
    getattr(pair, side).restart("worker_kvm")
    assert len(eventually(lambda: pair.where(vm))) == 1
    assert sum(pair.qemus()) == sum(before) + 1
    assert "Traceback" not in pair.here.words() + pair.there.words()
