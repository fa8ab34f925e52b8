"""What boots by UEFI, and vCPUs that come while a guest runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.subject import refusal
from qemu_host import MIB, Host, line
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError
from schema.objects.vm import Hvm, HvmInfo, Uefi, UefiOnBoot, UefiVariables, Vm
from worker_kvm.qemu.firmware import OVMF


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path, bridged=False) as host:
        yield host


def uefi_vm(host: Host, on_boot: UefiOnBoot) -> Vm:
    firmware = Uefi(variables=UefiVariables(on_boot=on_boot))
    vm = host.vm(memory_static_max=128 * MIB, memory_dynamic_max=128 * MIB)
    return vm.model_copy(update={"ty": Hvm(info=HvmInfo(firmware=firmware))})


def variables(host: Host) -> bytes:
    [found] = (host.directory / "kept" / "firmware").iterdir()
    return found.read_bytes()


def test_a_guest_boots_by_uefi_and_its_variables_are_kept_until_it_is_removed(host: Host) -> None:
    vm, new = uefi_vm(host, UefiOnBoot.PERSIST), (OVMF / "OVMF_VARS_4M.fd").read_bytes()
    host.start(vm)
    assert variables(host) == new
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "BdsDxe")
    host.backend.vm.destroy(host.task, vm)
    written = variables(host)
    assert written != new
    assert len(written) == len(new)
    host.backend.stop()
    (host.settings.run / "boot").write_text("another boot")
    host.open()
    host.start(vm)
    assert variables(host) == written
    host.backend.vm.destroy(host.task, vm)
    reset = uefi_vm(host, UefiOnBoot.RESET)
    host.start(reset)
    assert variables(host) == new
    host.backend.vm.remove(vm)
    assert not list((host.directory / "kept" / "firmware").iterdir())


def words(act: Callable[[], None]) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def test_a_guest_gets_vcpus_while_it_runs_and_is_resumed_with_them(host: Host) -> None:
    vm, image = host.vm(vcpus=1, vcpu_max=3), LocalDisk(path=str(host.directory / "image"))
    host.start(vm)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        host.backend.vm.set_vcpus(host.task, vm, 3)
        assert host.state(vm).vcpu_target == 3
        console.say("while ! ls -d /sys/devices/system/cpu/cpu2; do :; done; echo cpus c\\ame")
        line(console, "cpus came")
        console.say("echo 1 >/sys/devices/system/cpu/cpu2/online; echo on\\line")
        line(console, "online")
    assert "would not outlive the next one" in words(lambda: host.backend.vm.set_vcpus(host.task, vm, 2))
    assert host.state(vm).vcpu_target == 3
    host.backend.vm.save(host.task, vm, image, live=False)
    host.backend.vm.destroy(host.task, vm)
    host.backend.vm.create(host.task, vm, Devices(), CreateOptions())
    host.backend.vm.restore(host.task, vm, Devices(), image)
    assert host.state(vm).vcpu_target == 3
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        console.say("read n </sys/devices/system/cpu/cpu2/online; echo the thi\\rd is $n")
        line(console, "the third is 1")


def test_a_vcpu_of_the_start_stays(host: Host) -> None:
    vm = host.vm(vcpus=2, vcpu_max=2)
    host.start(vm)
    told = words(lambda: host.backend.vm.set_vcpus(host.task, vm, 1))
    assert "cannot have fewer vCPUs than it started with" in told
    assert host.state(vm).vcpu_target == 2
