"""What a real guest sees of its devices, plugged before it starts and while it runs."""

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from engine.hosted.storage.directory import DirectoryStorage
from eventually import eventually
from qemu_host import MIB, VM, Host, line, vif, xvd
from schema.ids import DeviceId, VmId
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import DoesNotExist, FailedToStartEmulator, InternalError, Unimplemented
from schema.objects.network import LocalNetwork
from schema.objects.vbd import VbdMode
from schema.objects.vm import PowerState
from worker_kvm.network import Network, TapSettings
from worker_kvm.qemu.sweep import find_strays


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as host:
        yield host


def test_a_guest_has_the_disks_and_interfaces_that_were_plugged(host: Host) -> None:
    vm = host.vm()
    host.create(vm)
    host.plug(xvd("a", host.disk("a.qcow2", "8M")))
    host.plug(xvd("b", host.disk("b.raw", "4M")))
    host.backend.vif.plug(host.task, VM, vif(0))
    host.launch(vm)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        introduced = line(console, "userland is up")
    assert f"sda:{8 * MIB} sdb:{4 * MIB}" in introduced
    assert "eth0:52:54:00:00:00:00" in introduced


def test_a_guest_sees_devices_come_and_go(host: Host) -> None:
    disk, interface = xvd("c", host.disk("c.raw")), vif(3)
    with host.up(host.vm()) as console:
        for _ in range(2):
            host.plug(disk)
            line(console, "disk sda came")
            host.unplug(disk)
            line(console, "disk sda went")
        for _ in range(2):
            host.backend.vif.plug(host.task, VM, interface)
            line(console, "came")
            host.backend.vif.unplug(host.task, VM, interface, force=False)
            line(console, "went")
    assert not host.backend.vif.get_state(VM, interface).plugged


def test_an_interface_taken_by_force_from_a_guest_that_does_not_answer_may_be_plugged_again(
    host: Host,
) -> None:
    vm, interface = host.vm(), vif(0)
    with host.up(vm) as console:
        host.backend.vif.plug(host.task, VM, interface)
        line(console, "interface eth0 came")
        host.backend.vm.pause(host.task, vm)
        host.backend.vif.unplug(host.task, VM, interface, force=True)
        assert not host.backend.vif.get_state(VM, interface).plugged
        host.backend.vm.unpause(host.task, vm)
        line(console, "interface eth0 went")
        host.backend.vif.plug(host.task, VM, interface)
        line(console, "came")


def test_a_guest_sees_an_interface_though_it_still_has_the_one_that_was_taken_by_force(host: Host) -> None:
    """It has a place of its own, and until the guest has let go no machine is like the one that it has."""
    vm, interface = host.vm(), vif(0)
    with host.up(vm) as console:
        host.backend.vif.plug(host.task, VM, interface)
        line(console, "interface eth0 came")
        host.backend.vm.pause(host.task, vm)
        host.backend.vif.unplug(host.task, VM, interface, force=True)
        host.backend.vif.plug(host.task, VM, interface)
        error = refusal(lambda: host.backend.vm.assert_can_save(vm))
        assert isinstance(error, InternalError)
        assert "a VIF that was taken by force" in error.message
        host.backend.vm.unpause(host.task, vm)
        said = {line(console, "interface").split()[-1] for _ in range(2)}
        assert said == {"came", "went"}
        eventually(lambda: host.backend.vm.assert_can_save(vm))  # QEMU is told after the guest has said it
        host.backend.vif.unplug(host.task, VM, interface, force=False)
        line(console, "went")


def test_taps_end_with_their_qemu(host: Host) -> None:
    vm = host.vm()
    host.create(vm)
    host.backend.vif.plug(host.task, VM, vif(0))
    host.launch(vm)
    tap = host.backend.vif.get_state(VM, vif(0)).device
    host.backend.vif.plug(host.task, VM, vif(1))
    assert tap is not None
    assert ports(host.namespace, "xenbr0") == {tap, tap[:-1] + "1"}
    host.backend.vif.move(host.task, VM, vif(1), LocalNetwork(bridge="xenbr1"))
    assert ports(host.namespace, "xenbr1") == {tap[:-1] + "1"}
    host.backend.vm.destroy(host.task, vm)
    assert ports(host.namespace, "xenbr0") == ports(host.namespace, "xenbr1") == set()


def ports(namespace: str, bridge: str) -> set[str]:
    command = ["ip", "-n", namespace, "-o", "link", "show", "master", bridge]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {found.split(": ")[1] for found in lines}


def test_without_rights_qemus_own_network_serves(tmp_path: Path) -> None:
    with Host(tmp_path, bridged=False) as host:
        vm = host.vm()
        host.create(vm)
        host.backend.vif.plug(host.task, VM, vif(0))
        host.launch(vm)
        host.backend.vif.plug(host.task, VM, vif(1))
        with host.console(vm) as console:
            host.backend.vm.unpause(host.task, vm)
            introduced = line(console, "userland is up")
    assert "eth0:52:54:00:00:00:00 eth1:52:54:00:00:00:01" in introduced


def test_a_disk_that_shall_forget_forgets(host: Host) -> None:
    vm, disk = host.vm(), host.disk("forgets.raw")
    vbd = xvd("a", disk, persistent=False)
    before = Path(disk.path).read_bytes()
    host.backend.vbd.epoch_begin(host.task, VM, disk, persistent=False)
    with host.up(vm) as console:
        host.plug(vbd)
        line(console, "disk sda came")
        console.say("echo never-forget > /dev/sda; sync; echo writ\\ten")
        line(console, "written")
    host.backend.vm.destroy(host.task, vm)
    assert b"never-forget" in overlay(host).read_bytes()
    host.backend.vbd.epoch_end(host.task, VM, disk)
    assert Path(disk.path).read_bytes() == before
    assert not list((host.settings.run / "overlays").iterdir())


def overlay(host: Host) -> Path:
    [found] = (host.settings.run / "overlays").iterdir()
    return found


def test_a_raw_disk_that_begins_like_another_format_is_raw(host: Host) -> None:
    """Else a guest could have any file of the host as its backing file."""
    inner = host.disk("inner.qcow2", "64M")
    raw = host.directory / "disguised.raw"
    raw.write_bytes(Path(inner.path).read_bytes())
    with host.up(host.vm()) as console:
        host.plug(xvd("a", LocalDisk(path=str(raw))))
        line(console, "disk sda came")
        console.say("echo sec\\tors $(cat /sys/block/sda/size)")
        assert int(line(console, "sectors ").split()[-1]) * 512 < 64 * MIB


def test_disks_of_a_storage_repository_go_by_their_names(tmp_path: Path) -> None:
    with Host(tmp_path, bridged=False) as host:
        repository = tmp_path / "srs" / "sr, one"
        repository.mkdir(parents=True)
        for name in ("first.raw", "second.qcow2"):
            Path(host.disk(name).path).rename(repository / name)
        host.backend.stop()
        host.settings = replace(host.settings, storage=DirectoryStorage(tmp_path / "srs"))
        host.open()
        vm, first, second = host.vm(), Vdi(name="sr, one/first"), Vdi(name="sr, one/second")
        host.create(vm)
        host.plug(xvd("a", first))
        host.launch(vm)
        host.plug(xvd("b", second))
        assert host.backend.vbd.get_state(VM, xvd("b", second)).backend_present == second
        assert {repository / "first.raw", repository / "second.qcow2"} <= open_files(host.pid())
        absent = Vdi(name="sr, one/third")
        missing = DoesNotExist(klass="VDI", id=absent.name)
        assert refusal(lambda: host.plug(xvd("c", absent))) == missing
        host.unplug(xvd("b", second))
        host.backend.vm.unpause(host.task, vm)
        assert repository / "second.qcow2" not in open_files(host.pid())


def open_files(pid: int) -> set[Path]:
    return {path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()}


HOSTILE = "a, b=c,readonly=on\"'\\{}%s$(x)é\n;…"
"""What options, JSON, shells and formats set apart."""


def test_hostile_names_are_names(tmp_path: Path) -> None:
    """Of VMs, disks, and their directory; QEMU opens just these files and believes just this name."""
    (tmp_path / HOSTILE).mkdir()
    with Host(tmp_path, bridged=False) as host:
        vm = host.vm().model_copy(update={"id": VmId("v" + HOSTILE.replace("\n", ""))})
        cold, hot = host.disk(f"{HOSTILE}/{HOSTILE}.raw"), host.disk(f"{HOSTILE}/b.qcow2")
        early, late = (
            xvd(letter, disk).model_copy(update={"id": DeviceId(vm.id, f'xvd{letter},x="y"')})
            for letter, disk in (("a", cold), ("b", hot))
        )
        host.create(vm)
        for vbd in (early, late):
            host.backend.vbd.attach(host.task, VmId(vm.id), vbd)
        host.backend.vbd.activate(host.task, VmId(vm.id), early)
        host.launch(vm)
        host.backend.vbd.activate(host.task, VmId(vm.id), late)
        assert {Path(cold.path), Path(hot.path)} <= open_files(host.pid())
        assert [stray.vm for stray in find_strays(host.settings.run)] == [vm.id]
        host.backend.vm.destroy(host.task, vm)


def test_what_is_missing_is_named(host: Host) -> None:
    vm = host.vm()
    host.create(vm)
    absent = str(host.directory / "absent.raw")
    error = refusal(lambda: host.plug(xvd("a", LocalDisk(path=absent))))
    assert error == InternalError(
        message=f"There is no disk {absent} on this host: make it, or correct the VBD's backend"
    )
    assert isinstance(refusal(lambda: host.plug(xvd("a", Vdi(name="sr/1")))), Unimplemented)
    nowhere = vif(0, backend=LocalNetwork(bridge="nowhere"))
    host.backend.vif.plug(host.task, VM, nowhere)
    assert refusal(lambda: host.launch(vm)) == DoesNotExist(klass="bridge", id="nowhere")
    tagged = vif(1, vlan=7)
    assert isinstance(refusal(lambda: host.backend.vif.plug(host.task, VM, tagged)), Unimplemented)


def test_a_disk_in_use_fails_the_start_in_qemus_words(host: Host) -> None:
    disk, first, second = host.disk("shared.raw"), host.vm(), sample_vm("second")
    host.create(first)
    host.plug(xvd("a", disk))
    host.launch(first)
    host.create(second)
    other = xvd("a", disk).model_copy(update={"id": DeviceId("second", "xvda")})
    host.backend.vbd.attach(host.task, VmId("second"), other)
    host.backend.vbd.activate(host.task, VmId("second"), other)
    error = refusal(lambda: host.launch(second))
    assert isinstance(error, FailedToStartEmulator)
    assert 'Failed to get "write" lock' in error.message
    host.backend.vm.destroy(host.task, second)
    assert host.state(second).power_state is PowerState.HALTED


def test_a_disk_that_only_reads_cannot_be_written(host: Host) -> None:
    with host.up(host.vm()) as console:
        host.plug(xvd("a", host.disk("ro.raw"), mode=VbdMode.READ_ONLY))
        line(console, "disk sda came")
        console.say("echo x > /dev/sda || echo refus\\ed")
        line(console, "refused")


def test_the_balloon_takes_memory_back(host: Host) -> None:
    vm = host.vm(memory_static_max=160 * MIB, memory_dynamic_max=128 * MIB)
    host.start(vm)
    assert (host.state(vm).memory_target, host.state(vm).memory_actual) == (128 * MIB, 160 * MIB)
    host.backend.vm.unpause(host.task, vm)
    host.backend.vm.wait_ballooning(host.task, vm)
    host.backend.vm.set_memory_dynamic_range(host.task, vm, 96 * MIB, 112 * MIB)
    host.backend.vm.wait_ballooning(host.task, vm)
    state = host.state(vm)
    assert state.memory_target == 112 * MIB
    assert abs(state.memory_actual - state.memory_target) <= 4 * MIB
    image = LocalDisk(path=str(host.directory / "image"))
    host.backend.vm.save(host.task, vm, image, live=False)
    host.backend.vm.destroy(host.task, vm)
    host.backend.vm.create(host.task, vm, Devices(), CreateOptions())
    host.backend.vm.restore(host.task, vm, Devices(), image)
    assert host.state(vm).memory_actual == state.memory_actual


def test_what_a_worker_left_that_died_while_it_plugged_is_taken_up(host: Host) -> None:
    """Both were given to QEMU, and neither was noted."""
    vm, disk, interface = host.vm(), xvd("a", host.disk("a.raw")), vif(0)
    host.start(vm)
    record = host.settings.run / "vm" / f"{VM}.json"
    host.backend.vbd.attach(host.task, VM, disk)
    before = record.read_bytes()
    host.backend.vbd.activate(host.task, VM, disk)
    host.backend.vif.plug(host.task, VM, interface)
    host.backend.stop()
    record.write_bytes(before)
    host.open()
    assert not host.backend.vbd.get_state(VM, disk).plugged
    for _ in range(2):
        host.plug(disk)
        host.backend.vif.plug(host.task, VM, interface)
        assert host.backend.vbd.get_state(VM, disk).plugged
        host.unplug(disk)
        host.backend.vif.unplug(host.task, VM, interface, force=True)


def test_a_disk_that_is_gone_from_qemu_already_can_be_unplugged(host: Host) -> None:
    vm, disk = host.vm(), xvd("a", host.disk("a.raw"))
    host.start(vm)
    record = host.settings.run / "vm" / f"{VM}.json"
    host.plug(disk)
    before = record.read_bytes()
    host.backend.vbd.deactivate(host.task, VM, disk, force=False)
    host.backend.stop()
    record.write_bytes(before)
    host.open()
    host.unplug(disk)
    assert not host.backend.vbd.get_state(VM, disk).plugged


def test_a_tap_that_its_last_holder_lets_go_of_late_is_waited_for(host: Host) -> None:
    network, tap = Network(host.settings.namespace), TapSettings("busy0", "xenbr0", 1500)
    holder = threading.Timer(0.2, os.close, (network.open_tap(tap),))
    holder.start()
    os.close(network.open_tap(tap))
    holder.join()
