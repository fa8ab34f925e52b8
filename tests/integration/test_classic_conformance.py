"""Backend classic passes what every backend must, on real xenstoreds of both kinds and a Xen in this process.

HVM guests have real device models. The same suite on the real hypervisor is `tests/xen`'s.
"""

import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from courier_in_hand import courier_command
from domains_in_hand import first_number
from engine.backend import CreateOptions, Devices
from engine.conformance import BackendConformance, Subject
from engine.conformance.execution import SuiteExecution
from engine.conformance.samples import sample_vm
from engine.conformance.subject import Life, make_life, refusal
from engine.conformance.usb import UsbFiles
from engine.hosted.storage.ports import Storage
from engine.hosted.usbfs import Usbfs
from hvm_in_hand import EmulatorsInHand, have_programs
from schema.ids import DeviceId, VmId
from schema.objects.disk import BusType, Disk, LocalDisk
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import AlreadyExists, InternalError, NotEnoughMemory
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, Hvm, HvmInfo, Pv, PvDirectBoot, PvInfo, Vm
from stack.xenstored import PrivateXenstored
from store_in_hand import StoreInHand
from typing_extensions import override
from worker_xen.classic.backend import Classic
from worker_xen.classic.boot.bootloader import Bootloaders
from worker_xen.classic.content import Dom0Content
from worker_xen.classic.hvm.emulators import Emulators
from worker_xen.classic.hypervisor import Parts
from worker_xen.classic.machine import uuid_of
from worker_xen.classic.nature import nature_of
from worker_xen.classic.suspend import Courier
from worker_xen.libxc.values import ShutdownReason
from xen_in_hand import HostInHand

MIB = 1 << 20

UNSUPPORTED = frozenset(
    {
        "VGPU.set_active",
        "VGPU.start",
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

    def __init__(self, directory: Path, socket: Path, storage: Storage | None = None) -> None:
        self.directory = directory
        self.storage = storage
        self.usb = UsbFiles(directory / "usb")
        self.changed: list[ObjectId] = []
        self._numbers = itertools.count()
        self.host = HostInHand(StoreInHand(socket))
        self._socket = socket
        (directory / "kernel").write_text("")
        self.backend = self._open()

    def _open(self) -> Classic:
        store, courier = StoreInHand(self._socket), Courier(courier_command())
        self.emulators = EmulatorsInHand(self.directory / "emulators")
        content = Dom0Content(self.host, self.storage)
        pygrub = str(self.directory / "programs" / "pygrub")
        parts = Parts(
            run=self.directory / "run",
            xen=self.host,
            store=store,
            dom0=self.host,
            courier=courier,
            emulators=self.emulators,
            bootloaders=Bootloaders(self.host, content, pygrubs=(pygrub,)),
            content=content,
            usb=Usbfs(self.usb.sysfs, self.usb.nodes, self.usb.write),
        )
        backend = Classic(parts)
        backend.start(self.changed.append)
        return backend

    @override
    def make_vm(self) -> Vm:
        boot = PvDirectBoot(kernel=str(self.directory / "kernel"))
        memory = {
            "memory_static_max": 64 * MIB,
            "memory_dynamic_max": 64 * MIB,
            "memory_dynamic_min": 32 * MIB,
        }
        ty = Pv(info=PvInfo(boot=DirectBoot(boot=boot)))
        return sample_vm(f"vm-{next(self._numbers)}", ty=ty, vcpus=1, vcpu_max=2, **memory)

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            position=(BusType.XEN, number, 0),
            backend=LocalDisk(path=self._disk(f"{vm.id}-{number}")),
        )

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            ty=VbdType.CDROM,
            mode=VbdMode.READ_ONLY,
            backend=LocalDisk(path=self._disk(f"{vm.id}-cd-{number}")),
        )

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        return Vif(id=DeviceId(vm.id, str(number)), position=number, mac=f"00:16:3e:00:00:{number:02x}")

    @override
    def make_image(self) -> Disk:
        return LocalDisk(path=str(self.directory / f"image-{next(self._numbers)}"))

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.backend = self._open()

    def _disk(self, name: str) -> str:
        path = self.directory / name
        path.write_bytes(b"")
        return str(path)


Made = TypeVar("Made", bound=ClassicSubject)


class ClassicHvmSubject(ClassicSubject):
    unsupported = UNSUPPORTED - {"VM.s3resume", "VM.s3suspend", "VUSB.plug"}

    @override
    def make_vm(self) -> Vm:
        size = 32 * MIB
        memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
        ty = Hvm(info=HvmInfo(serial="pty", boot_order="c"))
        return sample_vm(f"vm-{next(self._numbers)}", ty=ty, vcpus=1, vcpu_max=2, **memory)

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return super().make_vbd(vm, number).model_copy(update={"position": (BusType.IDE, number, 0)})

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return super().make_cd(vm, number).model_copy(update={"position": (BusType.IDE, number, 0)})

    def end_device_models(self) -> None:
        """Those of domains that there are; the hypervisor in hand ends none."""
        for domid in self.host.found:
            Emulators(self.directory / "emulators").end(domid)


@contextmanager
def standing(daemon: str, make: Callable[[Path, Path], Made], directory: Path) -> Iterator[Made]:
    """A subject on a xenstored of that kind."""
    place = Path(tempfile.mkdtemp(prefix="xs-"))
    with PrivateXenstored(place, daemon) as xenstored:
        subject = make(directory, xenstored.socket)
        try:
            yield subject
        finally:
            subject.backend.stop()
            subject.host.end()
    shutil.rmtree(place)


@pytest.fixture(name="subject", params=("xenstored", "oxenstored"))
def make_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClassicSubject]:
    with standing(request.param, ClassicSubject, tmp_path) as subject:
        yield subject


class TestPv(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        with standing("xenstored", ClassicSubject, tmp_path) as subject:
            yield subject


class TestHvm(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
        have_programs(tmp_path, monkeypatch)
        with standing("oxenstored", ClassicHvmSubject, tmp_path) as subject:
            yield subject
            subject.end_device_models()


def _nodes(subject: ClassicSubject, path: str) -> list[str]:
    store = subject.host.store
    return [f"{path}/{name}" for name in store.names(path)] + [
        node for name in store.names(path) for node in _nodes(subject, f"{path}/{name}")
    ]


def test_nothing_of_a_vm_that_was_stopped_is_left(subject: ClassicSubject) -> None:
    life = make_life(subject)
    life.start()
    assert subject.host.devices
    life.stop()
    assert not subject.host.devices
    assert list(subject.host.found) == [0]
    assert not [node for node in _nodes(subject, "/local/domain") if "/domain/0" not in node]
    assert not subject.host.store.names("/vm")
    assert not [node for node in _nodes(subject, "/local/domain/0") if f"/{first_number()}" in node]


def test_a_strangers_domain_of_the_same_id_is_never_touched(subject: ClassicSubject) -> None:
    life = make_life(subject)
    stranger = subject.host.create(uuid_of(life.vm.id), nature_of(life.vm))
    error = refusal(
        lambda: subject.backend.vm.create(SuiteExecution(), life.vm, life.devices, CreateOptions())
    )
    assert error == AlreadyExists(klass="domain", id=life.vm.id)
    life.stop()
    subject.backend.vm.remove(life.vm)
    assert stranger in subject.host.found


def test_a_domain_that_a_worker_had_made_and_not_noted_is_made_anew(subject: ClassicSubject) -> None:
    life = make_life(subject)
    create = life.start_steps()[0]
    create(SuiteExecution())
    hypervisor = subject.backend._hypervisor  # type: ignore[attr-defined]
    hypervisor.change(life.vm.id, lambda machine: machine.with_domain(domid=None))
    subject.reopen()
    life.start()
    assert list(subject.host.found) == [0, first_number() + 1]
    life.stop()
    assert list(subject.host.found) == [0]


def test_domains_of_two_processes_have_different_numbers() -> None:
    """Their taps are on one network, whoever else runs these tests now."""
    command = [sys.executable, "-c", "import domains_in_hand; print(domains_in_hand.first_number())"]
    ours = first_number()
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert int(done.stdout) != ours


def test_a_guest_that_ends_by_itself_is_heard(subject: ClassicSubject) -> None:
    life = make_life(subject)
    life.start()
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    domid = subject.backend.vm.get_state(life.vm).domids[0]
    subject.changed.clear()
    subject.host.stop(domid, ShutdownReason.CRASH)
    while VmObject(id=life.vm.id) not in subject.changed:
        pass
    asked = subject.backend.vm.get_domain_action_request(life.vm)
    assert asked is not None
    assert asked.value == "Needs_crashdump"


def test_a_host_without_memory_says_how_much_is_missing(subject: ClassicSubject) -> None:
    life = make_life(subject)
    subject.host.memory_free_bytes = 60 * MIB
    create, build = life.start_steps()[:2]
    create(SuiteExecution())
    assert refusal(lambda: build(SuiteExecution())) == NotEnoughMemory(needed_bytes=4 * MIB)
    life.stop()
    assert list(subject.host.found) == [0]


def test_a_bridge_that_is_not_there_is_named_and_nothing_is_left(subject: ClassicSubject) -> None:
    life = make_life(subject)
    life.start()
    vif = subject.make_vif(life.vm, 1)
    wrong = vif.model_copy(update={"backend": vif.backend.model_copy(update={"bridge": "nonesuch"})})
    error = refusal(lambda: subject.backend.vif.plug(SuiteExecution(), life.id, wrong))
    assert isinstance(error, InternalError)
    assert "no bridge 'nonesuch'" in error.message
    assert not subject.backend.vif.get_state(life.id, wrong).plugged
    assert f"vif-{first_number()}-1" not in subject.host.devices


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: b"", "End_of_file"),
        (lambda data: b"x" * len(data), "Not a valid signature"),
        (lambda data: data[:15] + b"\x0f" + bytes(7) + b"\xff" * 8, "is not possible"),
        (lambda data: data[:15] + b"\xf0" + data[16:], "where XENOPS should be"),
        (lambda data: data.replace(b"memorymemory", b"memorymemoru"), "Invalid marker"),
        (lambda data: data[:-16], "End_of_file"),
        (lambda data: data[:-16] + bytes(16), "where END should be"),
    ],
)
def test_a_damaged_suspend_image_is_refused_in_words(
    subject: ClassicSubject, damage: "object", words: str
) -> None:
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    image = subject.make_image()
    assert isinstance(image, LocalDisk)
    subject.backend.vm.save(SuiteExecution(), life.vm, image, live=False)
    life.stop()
    path = Path(image.path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    life.start_steps()[0](SuiteExecution())
    error = refusal(lambda: subject.backend.vm.restore(SuiteExecution(), life.vm, Devices(), image))
    assert isinstance(error, InternalError)
    assert words in error.message
    life.stop()
    assert subject.backend.vm.get_state(life.vm).power_state.value == "Suspended"


def test_a_guest_that_does_not_suspend_runs_on_and_there_is_no_image(
    subject: ClassicSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    subject.host.guests_listen = False
    monkeypatch.setattr("worker_xen.classic.saving.SUSPEND_ACKNOWLEDGE_TIMEOUT_S", 0.1)
    image = subject.make_image()
    error = refusal(lambda: subject.backend.vm.save(SuiteExecution(), life.vm, image, live=False))
    assert error.kind == "Failed_to_acknowledge_suspend_request"
    assert subject.backend.vm.get_state(life.vm).power_state.value == "Running"
    assert not [path for path in subject.directory.iterdir() if path.name.startswith("image")]


def _script(subject: ClassicSubject, name: str, words: str) -> Path:
    path = subject.directory / name
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return path


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def _scripted(subject: ClassicSubject, life: Life, script: Path) -> Vbd:
    vbd = subject.make_vbd(life.vm, 1)
    return vbd.model_copy(update={"extra_backend_keys": (("script", str(script)),)})


def test_a_hotplug_script_that_blocks_is_cancelled_at_once_with_all_that_it_started(
    subject: ClassicSubject,
) -> None:
    life = Life(subject, subject.make_vm(), Devices())
    life.start()
    pids = subject.directory / "pids"
    vbd = _scripted(
        subject, life, _script(subject, "block-hangs", f"sleep 1000 &\necho $$ $! > {pids}\nwait")
    )
    task = SuiteExecution()
    verbs = subject.backend.vbd
    verbs.attach(task, VmId(life.vm.id), vbd)
    errors = []
    thread = threading.Thread(
        target=lambda: errors.append(refusal(lambda: verbs.activate(task, VmId(life.vm.id), vbd)))
    )
    thread.start()
    while not pids.exists() or not pids.read_text():
        pass
    task.cancel()
    thread.join()
    assert errors[0].kind == "Cancelled"
    while any(is_alive(pid) for pid in pids.read_text().split()):
        pass  # they are killed, and end in a moment
    assert not subject.backend.vbd.get_state(life.id, vbd).plugged
    assert not [name for name in subject.host.devices if name.startswith("vbd")]
