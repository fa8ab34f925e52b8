"""A VM on a real libvirtd whose machine is a pc: what comes and goes, and that it stays one."""

from engine.backend import CreateOptions, Devices
from libvirt_room import LibvirtRoom, make_home, make_room, words
from machines import of_kind
from qemu_host import VM, line, vif, xvd
from schema.objects.disk import LocalDisk
from virt.xml import attribute, parsed

__all__ = ["make_home", "make_room"]


def kind(room: LibvirtRoom) -> str:
    client = room.daemon.client()
    [domain] = client.domains()
    found = attribute(parsed(client.document(domain.uuid)), "os/type", "machine")
    client.close()
    return str(found)


def test_a_pc_gets_and_loses_devices_while_it_runs_and_stays_a_pc_when_it_is_resumed(
    room: LibvirtRoom,
) -> None:
    vm, disk, image = (
        of_kind(room, "pc"),
        xvd("a", room.disk("a.raw")),
        LocalDisk(path=f"{room.directory}/image"),
    )
    devices, verbs = Devices(vbds=(disk,), vifs=(vif(0),)), room.backend.vm
    room.create(vm)
    room.plug(disk)
    room.backend.vif.plug(room.task, VM, vif(0))
    room.launch(vm)
    assert kind(room).startswith("pc-i440fx-")
    with room.console(vm) as console:
        verbs.unpause(room.task, vm)
        line(console, "userland is up")
        room.backend.vif.plug(room.task, VM, vif(3))
        line(console, "interface eth1 came")
        room.backend.vif.unplug(room.task, VM, vif(3), force=False)
        line(console, "interface eth1 went")
    verbs.save(room.task, vm, image, live=False)
    verbs.destroy(room.task, vm)
    now_a_q35 = vm.model_copy(update={"platformdata": ()})
    verbs.create(room.task, now_a_q35, devices, CreateOptions())
    verbs.restore(room.task, now_a_q35, devices, image)
    assert kind(room).startswith("pc-i440fx-")
    with room.console(vm) as console:
        verbs.unpause(room.task, vm)
        room.backend.vif.plug(room.task, VM, vif(1))
        line(console, "interface eth1 came")


def cards(room: LibvirtRoom) -> set[str | None]:
    client = room.daemon.client()
    [domain] = client.domains()
    document = parsed(client.document(domain.uuid))
    client.close()
    return {attribute(found, "model", "type") for found in document.findall("./devices/interface")}


def test_an_emulated_card_comes_and_goes_and_stays_what_it_is_when_its_guest_is_resumed(
    room: LibvirtRoom,
) -> None:
    vm, image = room.vm(platformdata=(("nic_type", "e1000"),)), LocalDisk(path=f"{room.directory}/image")
    devices, verbs, vifs = Devices(vifs=(vif(0), vif(3))), room.backend.vm, room.backend.vif
    room.create(vm)
    vifs.plug(room.task, VM, vif(0))
    room.launch(vm)
    with room.console(vm) as console:
        verbs.unpause(room.task, vm)
        line(console, "userland is up")
        vifs.plug(room.task, VM, vif(3))
        vifs.unplug(room.task, VM, vif(3), force=False)
        vifs.plug(room.task, VM, vif(3))
    assert cards(room) == {"e1000"}
    verbs.save(room.task, vm, image, live=False)
    verbs.destroy(room.task, vm)
    now_virtio = vm.model_copy(update={"platformdata": ()})
    verbs.create(room.task, now_virtio, devices, CreateOptions())
    verbs.restore(room.task, now_virtio, devices, image)
    assert cards(room) == {"e1000"}
    verbs.unpause(room.task, vm)
    vifs.unplug(room.task, VM, vif(3), force=False)


def test_no_microvm_is_made(room: LibvirtRoom) -> None:
    vm = of_kind(room, "microvm")
    assert "which is not made on libvirt" in words(lambda: room.create(vm))
