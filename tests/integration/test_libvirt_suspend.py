"""VMs on a real libvirtd, suspended to files and resumed, or not."""

import os
import stat
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.subject import refusal
from libvirt_room import LibvirtRoom, domains, make_home, make_room, words
from qemu_host import VM, line, vif, xvd
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError, Unimplemented
from schema.objects.vm import PowerState

__all__ = ["make_home", "make_room"]

DEVICES, OPTIONS = Devices(), CreateOptions()


def test_an_image_that_was_changed_or_cut_is_refused_and_the_vm_can_be_shut_down(room: LibvirtRoom) -> None:
    vm, image = room.vm(), LocalDisk(path=str(room.directory / "image"))
    room.start(vm)
    with room.console(vm) as console:
        room.backend.vm.unpause(room.task, vm)
        line(console, "userland is up")
    room.backend.vm.save(room.task, vm, image, live=False)
    room.backend.vm.destroy(room.task, vm)
    assert room.state(vm).power_state is PowerState.SUSPENDED
    whole = Path(image.path).read_bytes()
    for damaged, why in (
        (whole[:-100], "has no seal"),
        (whole[:1000] + b"x" + whole[1001:], "checksum differs"),
        (b"", "ends too early"),
    ):
        Path(image.path).write_bytes(damaged)
        room.backend.vm.create(room.task, vm, DEVICES, OPTIONS)
        assert why in words(lambda: room.backend.vm.restore(room.task, vm, DEVICES, image))
        room.backend.vm.destroy(room.task, vm)
    Path(image.path).write_bytes(whole)
    got = Devices(vbds=(xvd("a", room.disk("a.raw")),), vifs=(vif(0),))
    room.backend.vm.create(room.task, vm, got, OPTIONS)
    room.backend.vif.plug(room.task, VM, vif(0))
    room.backend.vm.restore(room.task, vm, got, image)
    room.plug(got.vbds[0])
    assert room.backend.vif.get_state(VM, vif(0)).plugged
    with room.console(vm) as console:
        room.backend.vm.unpause(room.task, vm)
        console.say("echo still-he\\re")
        line(console, "still-here")
        for device in ("/sys/block/sda", "/sys/class/net/eth0"):
            console.say(f"until [ -e {device} ]; do sleep 0.2; done; echo {device} ca\\me")
            line(console, f"{device} came")


def test_a_vcpu_that_was_plugged_is_there_after_a_resume(room: LibvirtRoom) -> None:
    vm, image = room.vm().model_copy(update={"vcpu_max": 2}), LocalDisk(path=str(room.directory / "image"))
    room.start(vm)
    room.backend.vm.set_vcpus(room.task, vm, 2)
    room.backend.vm.save(room.task, vm, image, live=False)
    room.backend.vm.destroy(room.task, vm)
    room.backend.vm.create(room.task, vm, DEVICES, OPTIONS)
    room.backend.vm.restore(room.task, vm, DEVICES, image)
    assert room.state(vm).vcpu_target == 2


@pytest.mark.parametrize("done", [True, False], ids=["libvirt had done it", "libvirt had it under way"])
def test_a_save_that_a_worker_died_in_is_whole_or_was_none(room: LibvirtRoom, *, done: bool) -> None:
    vm, image = room.vm(), LocalDisk(path=str(room.directory / "image"))
    room.start(vm)
    room.backend.stop()
    record, client = room.directory / "run" / "vm" / f"{VM}.json", room.daemon.client()
    record.write_text(record.read_text().replace('"saving":null', f'"saving":"{image.path}"'))
    if done:
        [domain] = client.domains()
        client.save(domain.uuid, image.path)
    client.close()
    room.open()
    if not done:
        assert room.state(vm).power_state is PowerState.PAUSED
        assert len(domains(room)) == 1
        return
    assert room.state(vm).power_state is PowerState.SUSPENDED
    room.backend.vm.destroy(room.task, vm)
    room.backend.vm.create(room.task, vm, DEVICES, OPTIONS)
    room.backend.vm.restore(room.task, vm, DEVICES, image)
    assert room.state(vm).power_state is PowerState.PAUSED


def test_a_save_that_finds_no_room_leaves_the_guest_as_it_was(room: LibvirtRoom) -> None:
    vm = room.vm()
    room.start(vm)
    image = LocalDisk(path=str(room.daemon.small / "image"))
    error = refusal(lambda: room.backend.vm.save(room.task, vm, image, live=False))
    assert isinstance(error, InternalError)
    assert room.state(vm).power_state is PowerState.PAUSED
    room.backend.vm.unpause(room.task, vm)
    assert room.state(vm).power_state is PowerState.RUNNING


@pytest.mark.parametrize("kind", ["device", "link", "directory"])
def test_only_a_plain_file_is_suspended_to(room: LibvirtRoom, kind: str) -> None:
    """A device that libvirt takes for a file it would remove."""
    vm, path = room.vm(), room.directory / kind
    room.start(vm)
    match kind:
        case "device":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        case "link":
            path.symlink_to(room.directory)
        case _:
            path.mkdir()
    before = path.lstat()
    error = refusal(lambda: room.backend.vm.save(room.task, vm, LocalDisk(path=str(path)), live=False))
    assert isinstance(error, Unimplemented)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
