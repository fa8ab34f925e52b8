"""VMs on a real libvirtd, suspended to files and resumed, or not."""

import os
import stat
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.subject import refusal
from libvirt_room import LibvirtRoom, domains, make_home, make_room, words
from qemu_host import VM, line, vif, xvd
from schema.objects.disk import LocalDisk, Vdi
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
    assert "would not outlive the next one" in words(lambda: room.backend.vm.set_vcpus(room.task, vm, 1))
    room.backend.vm.save(room.task, vm, image, live=False)
    room.backend.vm.destroy(room.task, vm)
    room.backend.vm.create(room.task, vm, DEVICES, OPTIONS)
    room.backend.vm.restore(room.task, vm, DEVICES, image)
    assert room.state(vm).vcpu_target == 2


def made_vdi(room: LibvirtRoom, target: Path | None = None) -> Path:
    """The VDI `SR/image`, with what was there before, or something else in its place."""
    path = room.directory / "sr" / "SR" / "image.raw"
    path.parent.mkdir(parents=True, exist_ok=True)
    if target is not None:
        path.symlink_to(target)
    else:
        with path.open("wb") as file:
            file.write(b"an older image" * 100)
            file.truncate(256 << 20)
    return path


def test_a_vm_is_suspended_to_a_vdi_and_resumed_from_it_unless_that_was_damaged(room: LibvirtRoom) -> None:
    vm, image, content = room.vm(), Vdi(name="SR/image"), made_vdi(room)
    room.start(vm)
    with room.console(vm) as console:
        room.backend.vm.unpause(room.task, vm)
        line(console, "userland is up")
    room.backend.vm.save(room.task, vm, image, live=False)
    assert room.state(vm).power_state is PowerState.SUSPENDED
    room.backend.vm.destroy(room.task, vm)
    assert content.stat().st_size == 256 << 20
    assert not list((room.directory / "run").rglob("moving"))
    whole = content.read_bytes()
    for damaged, why in (
        (b"\0" + whole[1:], "There is no suspend image"),
        (b"", "There is no suspend image"),
        (whole[:1000], "has no seal"),
        (whole[:1000] + b"x" + whole[1001:], "checksum differs"),
    ):
        content.write_bytes(damaged)
        room.backend.vm.create(room.task, vm, DEVICES, OPTIONS)
        assert why in words(lambda: room.backend.vm.restore(room.task, vm, DEVICES, image))
        room.backend.vm.destroy(room.task, vm)
    content.write_bytes(whole)
    room.backend.vm.create(room.task, vm, DEVICES, OPTIONS)
    room.backend.vm.restore(room.task, vm, DEVICES, image)
    with room.console(vm) as console:
        room.backend.vm.unpause(room.task, vm)
        console.say("echo still-he\\re")
        line(console, "still-here")
    assert not list((room.directory / "run").rglob("moving"))


def test_a_vdi_without_room_leaves_the_guest_as_it_was(room: LibvirtRoom) -> None:
    vm = room.vm()
    made_vdi(room, Path("/dev/full"))
    room.start(vm)
    room.backend.vm.unpause(room.task, vm)
    told = words(lambda: room.backend.vm.save(room.task, vm, Vdi(name="SR/image"), live=False))
    assert "cannot be written: No space left on device" in told
    assert room.state(vm).power_state is PowerState.RUNNING
    assert not list((room.directory / "run").rglob("moving"))


@pytest.mark.parametrize("before", ["running", "paused"])
def test_a_vm_whose_worker_died_before_its_vdi_had_all_goes_on(room: LibvirtRoom, before: str) -> None:
    vm = room.vm()
    room.start(vm)
    room.backend.stop()
    record, client = room.directory / "run" / "vm" / f"{VM}.json", room.daemon.client()
    path = next((room.directory / "run").glob("[0-9]*")) / "moving"
    noted = record.read_text().replace('"saving":null', f'"saving":"{path}"')
    record.write_text(noted.replace('"filing":null', f'"filing":"{before}"'))
    [domain] = client.domains()
    client.save(domain.uuid, str(path))
    client.close()
    room.open()
    assert room.state(vm).power_state is PowerState[before.upper()]
    assert not path.exists()
    room.backend.vm.destroy(room.task, vm)


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
