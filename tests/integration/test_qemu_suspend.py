"""A guest on QEMU is suspended and resumed, on real QEMU: it goes on where it was, or it never stopped."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.image import HEADER, SIGNATURE, ImageStream
from qemu_host import MIB, VM, Host, line, vif, xvd
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.objects.disk import LocalDisk
from schema.objects.errors import Cancelled, InternalError
from schema.objects.vm import Hvm, HvmInfo, PowerState, Vm
from stack.console import Console
from typing_extensions import override
from worker_kvm.qemu.sweep import find_strays

HEARTBEAT = "n=0; while sleep 0.05; do n=$((n+1)); echo beat $n up $(cut -d. -f1 /proc/uptime); done &"

BOUND_MIB_S = 16

SAVES_FOR_EVER = """
import sys, threading
from pathlib import Path
sys.path.insert(0, "tests/integration")
from qemu_host import VM, SuiteExecution, sample_vm
from worker_kvm.qemu.backend import Qemu
from worker_kvm.qemu.hypervisor import QemuSettings

class Stuck:
    def write(self, data):
        print("writes", flush=True)
        threading.Event().wait()
    def descriptor(self):
        return None

backend = Qemu(QemuSettings(Path(sys.argv[1]), sys.argv[2], "tcg", False, None))
backend.start(lambda _: None)
backend.vm.save(SuiteExecution(), sample_vm(VM), Stuck(), live=sys.argv[3] == "live")
"""


@pytest.fixture(name="host")
def open_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path, bridged=False) as host:
        yield host


def small_vm(host: Host) -> Vm:
    memory = dict.fromkeys(("memory_static_max", "memory_dynamic_max", "memory_dynamic_min"), 16 * MIB)
    return host.vm().model_copy(update={**memory, "ty": Hvm(info=HvmInfo())})


def beating(console: Console) -> Console:
    console.say("stty -echo")
    console.say(HEARTBEAT)
    line(console, "beat 3 ")
    return console


def beat(console: Console) -> tuple[int, int]:
    words = line(console, "beat ").split()
    return int(words[1]), int(words[3])


def saved(host: Host, vm: Vm, devices: Devices = Devices()) -> LocalDisk:  # noqa: B008  it is frozen
    image = LocalDisk(path=str(host.directory / "image"))
    host.backend.vm.save(SuiteExecution(), vm, image, live=False)
    stop(host, vm, devices)
    assert host.state(vm).power_state is PowerState.SUSPENDED
    assert list(find_strays(host.settings.run)) == []
    return image


def stop(host: Host, vm: Vm, devices: Devices) -> None:
    host.backend.vm.destroy_device_model(host.task, vm)
    for vbd in devices.vbds:
        host.unplug(vbd)
    for nic in devices.vifs:
        host.backend.vif.unplug(host.task, VM, nic, force=True)
    host.backend.vm.destroy(host.task, vm)


def resume(host: Host, vm: Vm, image: LocalDisk, devices: Devices = Devices()) -> None:  # noqa: B008
    verbs = host.backend.vm
    verbs.create(host.task, vm, devices, CreateOptions())
    verbs.restore(host.task, vm, devices, image)
    for vbd in devices.vbds:
        host.plug(vbd)
    for nic in devices.vifs:
        host.backend.vif.plug(host.task, VM, nic)
    verbs.create_device_model(host.task, vm, devices, save_state=True)
    verbs.set_domain_action_request(vm, None)


def test_a_guest_goes_on_where_it_was_with_its_devices_and_new_ones(host: Host) -> None:
    vm, disk, later = host.vm(), xvd("a", host.disk("a.qcow2")), xvd("b", host.disk("b.raw"))
    devices = Devices(vbds=(disk,), vifs=(vif(0),))
    host.create(vm)
    host.plug(disk)
    host.backend.vif.plug(host.task, VM, vif(0))
    host.launch(vm)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        number, up_s = beat(beating(console))
    image = saved(host, vm, devices)
    resume(host, vm, image, Devices(vbds=(disk, later), vifs=(vif(0), vif(1))))
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "disk sdb came")
        number_after, up_after_s = beat(console)
    assert number_after > number
    assert up_after_s >= up_s
    assert host.backend.vbd.get_state(VM, disk).plugged
    assert host.state(vm).power_state is PowerState.RUNNING


def first_bit(content: bytearray) -> None:
    content[len(SIGNATURE) + HEADER.size + 5] ^= 1


def last_bit(content: bytearray) -> None:
    content[-HEADER.size - 9] ^= 1


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def no_signature(content: bytearray) -> None:
    content[:4] = b"\x7fELF"


def endless(content: bytearray) -> None:
    content[len(SIGNATURE) + 8 : len(SIGNATURE) + HEADER.size] = (2**63 - 1).to_bytes(8, "little")


DAMAGES = [
    (first_bit, "the checksum of a record XENOPS is wrong"),
    (last_bit, "the checksum of a record QEMU_XEN is wrong"),
    (cut, "it ends too early: End_of_file"),
    (no_signature, "Not a valid signature"),
    (endless, "a record XENOPS of 9223372036854775807 bytes is not possible"),
]


def test_a_damaged_image_is_refused_and_the_vm_stays_suspended(host: Host) -> None:
    vm = small_vm(host)
    host.start(vm)
    image = saved(host, vm)
    whole = Path(image.path).read_bytes()
    for damage, words in DAMAGES:
        content = bytearray(whole)
        damage(content)
        Path(image.path).write_bytes(content)
        assert words in refused(lambda: resume(host, vm, image))
        assert list(find_strays(host.settings.run)) == []
        stop(host, vm, Devices())
        assert host.state(vm).power_state is PowerState.SUSPENDED
    Path(image.path).write_bytes(whole)
    resume(host, vm, image)
    assert host.state(vm).power_state is PowerState.PAUSED


def refused(act: Callable[[], None]) -> str:
    with pytest.raises(XenopsError) as caught:
        act()
    assert isinstance(caught.value.error, InternalError)
    return caught.value.error.message


def test_a_full_disk_leaves_the_vm_running_and_nothing_on_the_disk(host: Host) -> None:
    vm, place = small_vm(host), host.directory / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)
    try:
        host.start(vm)
        host.backend.vm.unpause(host.task, vm)
        image = LocalDisk(path=str(place / "image"))
        words = refused(lambda: host.backend.vm.save(host.task, vm, image, live=False))
        assert f"{place}/image cannot be written: No space left on device" in words
        assert host.state(vm).power_state is PowerState.RUNNING
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


class CancellingStream(ImageStream):
    """Another host, at which a client cancels once the memory is on its way."""

    def __init__(self, task: SuiteExecution) -> None:
        self.task = task
        self.pieces = 0

    @override
    def write(self, data: bytes | memoryview) -> None:
        self.pieces += 1
        if self.pieces == 10:
            self.task.cancel()

    @override
    def read(self, size: int) -> bytes:
        raise AssertionError("nobody reads what is sent")


@pytest.mark.parametrize("live", [True, False])
def test_a_cancel_in_the_middle_lets_the_guest_go_on(host: Host, *, live: bool) -> None:
    vm, task = host.vm(), SuiteExecution()
    with beating(host.up(vm)) as console:
        stream = CancellingStream(task)
        with pytest.raises(XenopsError) as caught:
            host.backend.vm.save(task, vm, stream, live=live)
        assert isinstance(caught.value.error, Cancelled)
        assert host.state(vm).power_state is PowerState.RUNNING
        number, _ = beat(console)
        assert beat(console)[0] > number
    image = saved(host, vm)
    resume(host, vm, image)


class Swallowing(ImageStream):
    """Another host, which takes everything at once; when it came, and how much."""

    def __init__(self) -> None:
        self.came: list[tuple[float, int]] = []

    @override
    def write(self, data: bytes | memoryview) -> None:
        self.came.append((time.monotonic(), len(data)))

    @override
    def read(self, size: int) -> bytes:
        raise AssertionError("nobody reads what is sent")

    @property
    def mib(self) -> float:
        return sum(size for _, size in self.came) / MIB

    @property
    def seconds(self) -> float:
        return self.came[-1][0] - self.came[0][0]


def test_a_guest_on_its_way_takes_no_more_of_the_network_than_it_may(host: Host) -> None:
    """But for what is sent while it stands still, which goes in 100 ms."""
    vm, stream = host.vm(), Swallowing()
    host.backend.stop()
    host.settings = replace(host.settings, migration_mib_s=BOUND_MIB_S)
    host.open()
    with host.up(vm):
        host.backend.vm.save(SuiteExecution(), vm, stream, live=True)
        assert stream.mib > BOUND_MIB_S
        assert stream.mib < 1.1 * BOUND_MIB_S * (stream.seconds + 0.1)
        host.backend.vm.resume(host.task, vm)
        assert host.state(vm).power_state is PowerState.RUNNING


@pytest.mark.parametrize("how", ["live", "suspend"])
def test_a_worker_killed_in_the_middle_leaves_a_guest_that_goes_on(host: Host, how: str) -> None:
    vm = host.vm()
    beating(host.up(vm)).close()
    host.backend.stop()
    words = [sys.executable, "-c", SAVES_FOR_EVER, str(host.settings.run), host.settings.qemu, how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "writes\n"
        worker.kill()
    host.open()
    assert host.state(vm).power_state is PowerState.RUNNING
    with host.console(vm) as console:
        number, _ = beat(console)
        assert beat(console)[0] > number
    resume(host, vm, saved(host, vm))


def test_a_guest_that_was_resumed_with_an_interface_powers_off_as_any_other(host: Host) -> None:
    """Linux resets its cards then, at which QEMU 7.2 ended if nothing had been announced."""
    vm, devices = host.vm(), Devices(vifs=(vif(0),))
    host.create(vm)
    host.backend.vif.plug(host.task, VM, vif(0))
    host.launch(vm)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
    image = saved(host, vm, devices)
    resume(host, vm, image, devices)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        console.say("poweroff -f")
        while host.asks(vm) is None:
            host.told()
    assert host.asks(vm) is DomainAction.POWEROFF
    assert [stray.vm for stray in find_strays(host.settings.run)] == [VM]
