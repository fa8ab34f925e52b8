"""VMs on QEMU migrate between two workers, each with services of its own, on one broker and shared disks.

Others are suspended and resumed on one of them, and what has begun is cancelled, through the bus.
"""

import os
import select
import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Self

import pytest
from certificates import issue
from engine.conformance.samples import sample_vbd, sample_vm
from eventually import eventually
from schema.fault import XenopsError
from schema.objects.disk import BusType, LocalDisk, Vdi
from schema.objects.task import Failed, Pending
from schema.objects.vm import PowerState
from test_migration import PATIENCE_S, Host, Pair, until_progress
from tls_terminator import terminating
from typing_extensions import override
from worker_kvm.qemu.sweep import end_domains, find_strays

DISK_BYTES = 4 << 20
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
            "XENOPS_SR_DIRECTORY": str(directory / name / "sr"),
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

    def vm_with_disks_of_its_own(self, size_there: int = DISK_BYTES) -> str:
        """A pc whose disks are on its host alone; the other host has empty ones of their names."""
        vm = str(uuid.uuid4())
        for host in ("here", "there"):
            (self.directory / host / "sr" / "local").mkdir(parents=True, exist_ok=True)
        for number in range(2):
            self.content("here", vm, number).write_bytes(os.urandom(DISK_BYTES // 2) + bytes(DISK_BYTES // 2))
            self.content("there", vm, number).write_bytes(bytes(size_there))
        pc = {"platformdata": (("machine", "pc"),), "vcpus": 1, "vcpu_max": 1}
        self.source.vm.add(sample_vm(vm, **pc, **dict.fromkeys(MEMORY, 32 << 20)))
        keys = (("migration", "mirror"),)
        for number, device in enumerate(("xvda", "xvdb")):
            backend, position = Vdi(name=f"local/{vm}-{number}"), (BusType.XEN, number, 0)
            vbd = sample_vbd(device, vm, backend=backend, position=position, extra_backend_keys=keys)
            self.source.vbd.add(vbd)
        for operate in (self.source.vm.start, self.source.vm.unpause):
            self.done(operate(vm))
        return vm

    def content(self, host: str, vm: str, number: int = 0) -> Path:
        return self.directory / host / "sr" / "local" / f"{vm}-{number}.raw"

    def is_all_there(self, vm: str) -> bool:
        """Whether both hosts' disks are alike now."""
        return all(
            self.content("there", vm, number).read_bytes() == self.content("here", vm, number).read_bytes()
            for number in range(2)
        )

    def qemus(self) -> list[int]:
        """How many QEMUs each host has."""
        return [len(list(find_strays(run))) for run in self.runs]

    def is_cancelled(self, task: str) -> bool:
        """Whether that is how a task of the source's has ended; raises while it goes on."""
        state = self.source.task.stat(task).state
        assert not isinstance(state, Pending)
        return isinstance(state, Failed) and state.error == ["Cancelled", task]

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


@pytest.mark.parametrize("way", ["as it is", "compressed", "by TLS"])
def test_disks_that_are_not_shared_go_along(pair: QemuPair, tmp_path: Path, way: str) -> None:
    before, vm = pair.qemus(), pair.vm_with_disks_of_its_own()
    if way == "by TLS":
        with terminating(issue(tmp_path / "tls", "127.0.0.1"), pair.there.directory / "door") as port:
            url = f"https://127.0.0.1:{port}/{pair.there.instance}"
            pair.done(pair.migrate(vm, url, verify=False))
    else:
        pair.done(pair.migrate(vm, compress=way == "compressed"))
    assert eventually(lambda: pair.where(vm)) == [pair.destination]
    assert pair.is_all_there(vm)
    assert pair.qemus() == [before[0], before[1] + 1]


def test_a_disk_that_has_no_room_there_keeps_its_vm_here(pair: QemuPair) -> None:
    before, vm = pair.qemus(), pair.vm_with_disks_of_its_own(size_there=DISK_BYTES // 2)
    with pytest.raises(XenopsError, match=f"has {DISK_BYTES // 2} bytes on this host, and {DISK_BYTES}"):
        pair.done(pair.migrate(vm))
    assert eventually(lambda: pair.where(vm)) == [pair.source]
    assert pair.qemus() == [before[0] + 1, before[1]]
    for number in range(2):
        os.truncate(pair.content("there", vm, number), DISK_BYTES)
    pair.done(pair.migrate(vm))
    assert pair.is_all_there(vm)


@pytest.mark.parametrize("end", ["cancel", "here", "there"])
def test_disks_on_their_way_are_given_up_whoever_ends(pair: QemuPair, tmp_path: Path, end: str) -> None:
    before, vm = pair.qemus(), pair.vm_with_disks_of_its_own()
    with StallingDoor(tmp_path / "door", pair.there.directory / "door", b"/migrate/disk/") as door:
        task = pair.migrate(vm, f"unix://{door.path}")
        assert door.has_stalled.wait(PATIENCE_S)
        if end == "cancel":
            pair.source.task.cancel(task)
            assert eventually(lambda: pair.is_cancelled(task))
        else:
            getattr(pair, end).restart("worker_kvm")
        assert eventually(lambda: pair.where(vm)) == [pair.source]
    assert pair.source.vm.stat(vm)[1].power_state is PowerState.RUNNING
    assert pair.qemus() == [before[0] + 1, before[1]]
    pair.done(pair.migrate(vm))
    assert pair.is_all_there(vm)


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


def test_a_migration_cancelled_while_memory_is_copied_leaves_the_vm_where_it_was(pair: QemuPair) -> None:
    before, vm = pair.qemus(), pair.running_vm()
    with StallingDoor(pair.directory / "stalls", pair.there.directory / "door") as door:
        task = pair.migrate(vm, f"unix://{door.path}")
        assert door.has_stalled.wait(PATIENCE_S)
        pair.source.task.cancel(task)
        assert eventually(lambda: pair.is_cancelled(task))
    assert eventually(lambda: pair.where(vm)) == [pair.source]
    assert pair.source.vm.stat(vm)[1].power_state is PowerState.RUNNING
    assert pair.qemus() == [before[0] + 1, before[1]]
    pair.done(pair.migrate(vm))


class StallingDoor:
    """A host's door that lets no more than a little of a channel pass, until its source hangs up."""

    def __init__(self, path: Path, door: Path, channel: bytes = b"/migrate/mem/") -> None:
        self.path = path
        self._channel = channel
        self.has_stalled = threading.Event()
        self._door = door
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._connections = [self._listener]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._begin(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(PATIENCE_S)
        for connection in self._connections:
            connection.close()

    def _begin(self, act: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=act, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                source, _ = self._listener.accept()
                destination = socket.socket(socket.AF_UNIX)
                self._connections += (source, destination)
                destination.connect(str(self._door))
                self._begin(self._carry, source, destination)
                self._begin(self._carry, destination, source)

    def _carry(self, speaker: socket.socket, listener: socket.socket) -> None:
        passed, stalls = 0, False
        with suppress(OSError):
            while data := speaker.recv(1 << 12):
                stalls = stalls or (passed == 0 and self._channel in data)
                passed += len(data)
                if stalls and passed > STALLS_AFTER_BYTES:
                    self.has_stalled.set()
                    over = select.poll()
                    over.register(speaker, select.POLLRDHUP)
                    over.poll()
                    break
                listener.sendall(data)
            listener.shutdown(socket.SHUT_WR)


STALLS_AFTER_BYTES = 1 << 16


def test_a_suspend_cancelled_while_it_writes_lets_the_guest_run_on_and_leaves_no_image(
    pair: QemuPair,
) -> None:
    vm, image = pair.running_vm(), pair.directory / "cancelled"
    draft = image.with_name("cancelled.partial")
    os.mkfifo(draft)  # what is written there waits for us
    with FileIO(os.open(draft, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        task = pair.source.vm.suspend(vm, LocalDisk(path=str(image)))
        select.select([reader], [], [])
        pair.source.task.cancel(task)
        assert is_cancelled(pair, task, lambda: reader.read(STEP_BYTES))
    assert pair.source.vm.stat(vm)[1].power_state is PowerState.RUNNING
    assert not image.exists()
    assert not draft.exists()


def test_a_resume_cancelled_while_it_reads_leaves_the_vm_suspended_and_no_qemu(pair: QemuPair) -> None:
    before, vm, image = pair.qemus(), pair.running_vm(), pair.directory / "image"
    pair.done(pair.source.vm.suspend(vm, LocalDisk(path=str(image))))
    assert pair.qemus() == before
    slow = pair.directory / "slow"
    os.mkfifo(slow)
    with FileIO(os.open(slow, os.O_RDWR | os.O_NONBLOCK), "wb") as writer:
        content = memoryview(image.read_bytes())
        content = content[writer.write(content) or 0 :]
        task = pair.source.vm.resume(vm, LocalDisk(path=str(slow)))
        eventually(lambda: taken_from(writer))
        pair.source.task.cancel(task)

        def step() -> None:
            nonlocal content
            content = content[writer.write(content[:STEP_BYTES]) or 0 :]

        assert is_cancelled(pair, task, step)
    assert pair.source.vm.stat(vm)[1].power_state is PowerState.SUSPENDED
    assert pair.qemus() == before
    pair.done(pair.source.vm.resume(vm, LocalDisk(path=str(image))))


def taken_from(writer: FileIO) -> None:
    assert select.select([], [writer], [], 0)[1]


STEP_BYTES = 2_048
"""So little that a cancel reaches the worker long before all of an image has passed."""


def is_cancelled(pair: QemuPair, task: str, step: Callable[[], object]) -> bool:
    """Let a little of an image pass and look, until its task has ended."""
    while True:
        step()
        with suppress(AssertionError):
            return pair.is_cancelled(task)
