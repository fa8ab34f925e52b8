"""VMs on real QEMU whose machine is no q35: what they have, what comes and goes, and what they stay."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.subject import refusal
from machines import of_kind
from qemu_host import GUEST, PATIENCE_S, VM, Host, line, vif, xvd
from schema.atomics.vm import DomainAction, ShutdownRequest
from schema.ids import DeviceId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.errors import InternalError
from schema.objects.vbd import Vbd
from schema.objects.vm import Hvm, HvmInfo, Uefi, UefiVariables, Vm
from stack.console import Console


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path, bridged=False) as host:
        yield host


def words(act: Any) -> str:
    error = refusal(act)
    assert isinstance(error, InternalError)
    return error.message


def begun(host: Host, vm: Vm, devices: Devices) -> None:
    host.create(vm)
    for vbd in devices.vbds:
        host.plug(vbd)
    for nic in devices.vifs:
        host.backend.vif.plug(host.task, VM, nic)
    host.launch(vm)


def suspended(host: Host, vm: Vm) -> LocalDisk:
    image, verbs = LocalDisk(path=str(host.directory / "image")), host.backend.vm
    verbs.save(host.task, vm, image, live=False)
    verbs.destroy_device_model(host.task, vm)
    verbs.destroy(host.task, vm)
    return image


def resumed(host: Host, vm: Vm, devices: Devices, image: LocalDisk) -> Console:
    verbs = host.backend.vm
    verbs.create(host.task, vm, devices, CreateOptions())
    verbs.restore(host.task, vm, devices, image)
    verbs.create_device_model(host.task, vm, devices, save_state=True)
    verbs.set_domain_action_request(vm, None)
    console = host.console(vm)
    verbs.unpause(host.task, vm)
    return console


def shut_down(host: Host, vm: Vm) -> None:
    assert host.backend.vm.request_shutdown(host.task, vm, ShutdownRequest.HALT, PATIENCE_S)
    assert host.backend.vm.wait_shutdown(host.task, vm, ShutdownRequest.HALT, PATIENCE_S)
    assert host.asks(vm) is DomainAction.POWEROFF


def test_a_pc_gets_and_loses_devices_while_it_runs_and_stays_a_pc_when_it_is_resumed(host: Host) -> None:
    vm, first, later = of_kind(host, "pc"), xvd("a", host.disk("a.raw")), xvd("b", host.disk("b.raw"))
    begun(host, vm, Devices(vbds=(first,), vifs=(vif(0),)))
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        assert "eth0:52:54:00:00:00:00" in line(console, "userland is up")
        host.plug(later)
        line(console, "disk sdb came")
        host.backend.vif.plug(host.task, VM, vif(3))
        line(console, "interface eth1 came")
        host.backend.vif.unplug(host.task, VM, vif(3), force=False)
        line(console, "interface eth1 went")
        host.unplug(later)
        line(console, "disk sdb went")
        console.say("cat /sys/bus/pci/devices/0000:00:00.0/device")
        line(console, "0x1237")  # the 440FX
    image = suspended(host, vm)
    now_a_q35 = vm.model_copy(update={"platformdata": ()})
    with resumed(host, now_a_q35, Devices(vbds=(first,), vifs=(vif(0),)), image) as console:
        host.backend.vif.plug(host.task, VM, vif(1))
        line(console, "interface eth1 came")
        shut_down(host, now_a_q35)


def test_a_microvm_has_what_it_began_with_and_disks_that_come_and_go(host: Host) -> None:
    vm, disk = of_kind(host, "microvm", vcpu_max=2), xvd("a", host.disk("a.raw"))
    devices = Devices(vbds=(disk,), vifs=(vif(0), vif(4)))
    begun(host, vm, devices)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        said = line(console, "userland is up")
        assert "disks sda:8388608; interfaces eth0:52:54:00:00:00:00 eth1:52:54:00:00:00:04" in said
        later = xvd("b", host.disk("b.raw"))
        host.plug(later)
        line(console, "disk sdb came")
        host.unplug(later)
        line(console, "disk sdb went")
        console.say("[ -d /sys/bus/pci/devices ] && ls /sys/bus/pci/devices; echo no\\ne")
        line(console, "none")
        for act in (
            lambda: host.backend.vif.plug(host.task, VM, vif(1)),
            lambda: host.backend.vif.unplug(host.task, VM, vif(0), force=False),
            lambda: host.backend.vm.set_vcpus(host.task, vm, 2),
        ):
            assert "is a microvm, which has the" in words(act)
        host.backend.vm.set_vcpus(host.task, vm, 1)
        assert [console.path.endswith("/console") for console in host.state(vm).consoles] == [True]
    image = suspended(host, vm)
    with resumed(host, vm, devices, image):
        shut_down(host, vm)


def test_a_microvm_that_panics_says_so(host: Host) -> None:
    vm = of_kind(host, "microvm", then="panic")
    begun(host, vm, Devices())
    host.backend.vm.unpause(host.task, vm)
    host.told()
    assert host.asks(vm) is DomainAction.CRASHDUMP


def test_the_firmware_of_a_pc_begins_a_disk_on_ide(host: Host) -> None:
    firmware = Uefi(variables=UefiVariables())
    memory = dict.fromkeys(("memory_static_max", "memory_dynamic_max", "memory_dynamic_min"), 256 << 20)
    vm = of_kind(host, "pc").model_copy(update={"ty": Hvm(info=HvmInfo(firmware=firmware)), **memory})
    disk = LocalDisk(path=shutil.copy(GUEST.uefi_disk, host.directory))
    hda = Vbd.model_validate({"id": DeviceId(VM, "hda"), "position": (BusType.IDE, 0, 0), "backend": disk})
    begun(host, vm, Devices(vbds=(hda,)))
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        assert "HARDDISK" in line(console, "BdsDxe: starting")
    assert "SATA or IDE cannot be unplugged" in str(refusal(lambda: host.unplug(hda)))


def test_a_machine_that_is_none_is_refused_before_anything_is_made(host: Host) -> None:
    vm = host.vm(platformdata=(("machine", "q35,accel=evil"),))
    assert "give one of q35, pc, microvm" in words(lambda: host.create(vm))
