"""On libvirt: what holds a guest's devices back, and what it does to them by itself."""

import os
import subprocess

from engine.backend import CreateOptions, Devices
from libvirt_room import LibvirtRoom, domains, make_home, make_room, until_told, words
from qemu_host import MIB, VM, line, vif, xvd
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import VbdObject, VifObject
from schema.objects.vbd import Vbd, VbdMode, VbdType
from virt.xml import parsed

__all__ = ["make_home", "make_room"]


def test_what_a_guest_does_to_its_devices_and_a_disk_that_grows_are_noticed(room: LibvirtRoom) -> None:
    vm, disk = room.vm(), room.disk("grows.raw")
    drive = xvd("b", room.disk("cd.raw"), ty=VbdType.CDROM, mode=VbdMode.READ_ONLY)
    room.create(vm)
    for vbd in (xvd("a", disk), drive):
        room.plug(vbd)
    room.backend.vif.plug(room.task, VM, vif(0))
    room.launch(vm)
    with room.console(vm) as console:
        room.backend.vm.unpause(room.task, vm)
        line(console, "userland is up")
        os.truncate(disk.path, 24 * MIB)
        console.say("until [ $(cat /sys/block/sda/size) = 49152 ]; do sleep 0.2; done; echo gro\\wn")
        line(console, "grown")
        console.say("echo 1 >/proc/sys/dev/cdrom/autoeject; head -c 4 /dev/sr0; echo ejec\\ted")
        line(console, "ejected")
        until_told(room, VbdObject(id=drive.id))
        assert room.backend.vbd.get_state(VM, drive).backend_present is None
        assert drive.backend is not None
        room.backend.vbd.insert(room.task, VM, drive, drive.backend)
        assert room.backend.vbd.get_state(VM, drive).backend_present == drive.backend
        assert not room.backend.vif.wants_unplug(VM, vif(0))
        console.say("for slot in /sys/bus/pci/slots/*; do echo 0 > $slot/power; done")
        until_told(room, VifObject(id=vif(0).id))
    assert room.backend.vif.wants_unplug(VM, vif(0))
    room.backend.stop()
    room.open()
    until_told(room, VifObject(id=vif(0).id))
    room.backend.vif.unplug(room.task, VM, vif(0), force=True)
    assert not room.backend.vif.wants_unplug(VM, vif(0))


def test_a_disk_keeps_to_its_limits_and_a_trunk_to_its_vlans(room: LibvirtRoom) -> None:
    vm, cold, hot = room.vm(), room.disk("cold.raw"), room.disk("hot.raw")
    room.create(vm)
    room.plug(xvd("a", cold, extra_backend_keys=(("total_bytes_sec", "1048576"),)))
    room.backend.vif.plug(room.task, VM, vif(0, trunks=(10, 20)))
    room.launch(vm)
    room.plug(xvd("b", hot, extra_backend_keys=(("read_iops_sec", "50"), ("write_iops_sec", "60"))))
    [domain] = domains(room)
    assert limits(room, domain) == [
        {"total_bytes_sec": "1048576"},
        {"read_iops_sec": "50", "write_iops_sec": "60"},
    ]
    for vbd in (xvd("a", cold), xvd("b", hot, extra_backend_keys=(("read_iops_sec", "9"),))):
        assert room.backend.vbd.wants_qos(VM, vbd)
        room.backend.vbd.set_qos(room.task, VM, vbd)
        assert not room.backend.vbd.wants_qos(VM, vbd)
    assert limits(room, domain) == [{}, {"read_iops_sec": "9"}]
    bell = room.disk("bell\a.raw")
    assert "which libvirt cannot be told: correct its configuration" in words(
        lambda: room.plug(xvd("c", bell))
    )
    assert "10, 20" in ruleset(room)
    room.backend.vif.set_trunks(room.task, VM, vif(0), [30])
    assert "vlan id != 30" in ruleset(room)
    room.backend.vif.set_trunks(room.task, VM, vif(0), [])
    assert "vlan" not in ruleset(room)


def test_a_drive_keeps_to_its_limits_whatever_it_holds_and_is_resumed_with_those_of_then(
    room: LibvirtRoom,
) -> None:
    vm, medium, other = room.vm(), room.disk("one.raw"), room.disk("other.raw")

    def drive(*keys: tuple[str, str]) -> Vbd:
        return xvd("a", medium, ty=VbdType.CDROM, mode=VbdMode.READ_ONLY, extra_backend_keys=keys)

    room.create(vm)
    room.plug(drive(("read_iops_sec", "9")))
    room.launch(vm)
    [domain] = domains(room)
    room.backend.vbd.set_qos(room.task, VM, drive(("read_iops_sec", "8")))
    room.backend.vbd.eject(room.task, VM, drive())
    room.backend.vbd.insert(room.task, VM, drive(), other)
    assert limits(room, domain) == [{"read_iops_sec": "8"}]
    image = LocalDisk(path=str(room.directory / "image"))
    room.backend.vm.save(room.task, vm, image, live=False)
    room.backend.vm.destroy(room.task, vm)
    for keys in ((("total_bytes_sec", "1048576"),), ()):
        room.backend.vm.create(room.task, vm, Devices(), CreateOptions())
        room.backend.vm.restore(room.task, vm, Devices(vbds=(drive(*keys),)), image)
        assert limits(room, domain) == [dict(keys)]
        room.backend.vm.destroy(room.task, vm)


def limits(room: LibvirtRoom, name: str) -> list[dict[str, str | None]]:
    """Of each disk, what libvirt holds it to."""
    client = room.daemon.client()
    [uuid] = [found.uuid for found in client.domains() if found.name == name]
    document = parsed(client.document(uuid))
    client.close()
    return [{one.tag: one.text for one in disk.findall("./iotune/*")} for disk in document.findall(".//disk")]


def ruleset(room: LibvirtRoom) -> str:
    command = ["ip", "netns", "exec", room.namespace, "nft", "list", "ruleset"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
