"""VMs on a real libvirtd: how guests end, what survives whom, and whose domains are left alone."""

import json
import os
import queue
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from libvirt_room import LibvirtRoom, await_that, domains, make_home, make_room, words
from qemu_host import MIB, PATIENCE_S, VM, line, vif, xvd
from schema.atomics.vm import DomainAction, ShutdownRequest
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.disk import BusType, LocalDisk, Vdi
from schema.objects.dynamic import VmObject
from schema.objects.errors import AlreadyExists, FailedToStartEmulator
from schema.objects.network import LocalNetwork
from schema.objects.vbd import Vbd
from schema.objects.vif import Disabled, Unlocked
from schema.objects.vm import DirectBoot, Hvm, HvmInfo, PowerState, PvDirectBoot, Pvh, PvInfo, Vm
from virt.xml import node, written
from worker_kvm.libvirt.machine import Stage

__all__ = ["make_home", "make_room"]

POWEROFF = bytes.fromhex("ba0406 b80020 ef")
"""Sleep state 5 to the ACPI port at 0x604."""
REBOOT = bytes.fromhex("b0fe e664")
"""The keyboard controller pulls the reset line."""
PANIC = bytes.fromhex("ba0505 b001 ee")
"""Said to pvpanic's port, 0x505."""
HALT = bytes.fromhex("f4 ebfd")

UUID = "6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a11"


def boot_disk(room: LibvirtRoom, sector: bytes) -> Vbd:
    path = room.directory / "boot.raw"
    path.write_bytes((sector + HALT).ljust(510, b"\0") + b"\x55\xaa" + bytes(2 * MIB))
    return xvd("a", LocalDisk(path=str(path)), position=(BusType.IDE, 0, 0))


def stranger(room: LibvirtRoom, uuid: str) -> None:
    """Somebody else's domain: with nothing to boot, paused."""
    client = room.daemon.client()
    client.create(
        written(
            node(
                "domain",
                node("name", text="stranger"),
                node("uuid", text=uuid),
                node("memory", text="64", unit="MiB"),
                node("os", node("type", text="hvm", arch="x86_64", machine="q35")),
                type="qemu",
            )
        )
    )
    client.close()


@pytest.mark.parametrize(
    ("sector", "asked"),
    [(POWEROFF, DomainAction.POWEROFF), (REBOOT, DomainAction.REBOOT), (PANIC, DomainAction.CRASHDUMP)],
    ids=["poweroff", "reboot", "panic"],
)
@pytest.mark.parametrize("heard", [True, False], ids=["heard", "while the worker is away"])
def test_what_a_guest_that_ends_wants_is_known(
    room: LibvirtRoom, sector: bytes, asked: DomainAction, *, heard: bool
) -> None:
    vm = room.vm().model_copy(update={"ty": Hvm(info=HvmInfo())})
    room.create(vm)
    room.plug(boot_disk(room, sector))
    room.launch(vm)
    room.backend.vm.unpause(room.task, vm)
    if not heard:
        room.backend.stop()
        client = room.daemon.client()
        await_that(lambda: not any(found.status.value == "running" for found in client.domains()), "it ends")
        client.close()
        room.open()
    assert room.told() == VmObject(id=VM)
    await_that(lambda: room.asks(vm) is asked, "it is known")  # what was told first may be that it runs
    assert room.state(vm).power_state is PowerState.RUNNING


def test_a_guest_is_started_seen_changed_outlives_libvirtd_and_is_shut_down(room: LibvirtRoom) -> None:
    vm = room.vm()
    room.create(vm)
    room.plug(xvd("a", room.disk("a.qcow2", "8M")))
    room.plug(xvd("b", room.disk("b.raw", "4M")))
    room.backend.vif.plug(room.task, VM, vif(0))
    room.launch(vm)
    tap = room.backend.vif.get_state(VM, vif(0)).device
    with room.console(vm) as console:
        room.backend.vm.unpause(room.task, vm)
        introduced = line(console, "userland is up")
        assert f"sda:{8 * MIB} sdb:{4 * MIB}" in introduced
        assert "eth0:52:54:00:00:00:00" in introduced
        disk = xvd("c", room.disk("c.raw"))
        room.plug(disk)
        line(console, "disk sdc came")
        room.unplug(disk)
        line(console, "disk sdc went")
        room.backend.vif.plug(room.task, VM, vif(3))
        line(console, "came")
        room.backend.vif.unplug(room.task, VM, vif(3), force=False)
        line(console, "went")
        assert tap in ports(room, "xenbr0")
        room.backend.vif.move(room.task, VM, vif(0), LocalNetwork(bridge="xenbr1"))
        assert tap in ports(room, "xenbr1")
        lose_libvirtd(room, vm)
        console.say("echo still-he\\re")
        line(console, "still-here")
        assert room.backend.vm.request_shutdown(room.task, vm, ShutdownRequest.HALT, PATIENCE_S)
        line(console, "power button")
    assert room.backend.vm.wait_shutdown(room.task, vm, ShutdownRequest.HALT, PATIENCE_S)
    assert room.asks(vm) is DomainAction.POWEROFF
    assert not domains(room)


def ports(room: LibvirtRoom, bridge: str) -> set[str]:
    command = ["ip", "-n", room.namespace, "-o", "link", "show", "master", bridge]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {found.split(": ")[1] for found in lines}


def test_what_an_interface_may_send_is_restricted_as_long_as_it_is_there(room: LibvirtRoom) -> None:
    vm, early = room.vm(), vif(0, locking_mode=Disabled())
    late = vif(1, rate=(1024, 50_000))
    room.create(vm)
    room.backend.vif.plug(room.task, VM, early)
    room.launch(vm)
    room.backend.vif.plug(room.task, VM, late)
    taps = [str(room.backend.vif.get_state(VM, found).device) for found in (early, late)]
    assert chains(room) == {f"from-{taps[0]}", f"to-{taps[0]}", f"from-{taps[1]}"}
    room.backend.vif.set_locking_mode(room.task, VM, early, Unlocked())
    assert chains(room) == {f"from-{taps[1]}"}
    room.backend.stop()
    nft(room, "flush", "ruleset")
    room.open()
    assert chains(room) == {f"from-{taps[1]}"}
    room.backend.vm.pause(room.task, vm)
    room.backend.vif.unplug(room.task, VM, late, force=True)
    assert chains(room) == set()
    assert "a VIF that was taken by force" in words(lambda: room.backend.vm.assert_can_save(vm))
    room.backend.vif.set_locking_mode(room.task, VM, early, Disabled())
    assert chains(room) == {f"from-{taps[0]}", f"to-{taps[0]}"}
    room.backend.vm.destroy(room.task, vm)
    assert chains(room) == set()


def chains(room: LibvirtRoom) -> set[str]:
    found = json.loads(nft(room, "-j", "list", "chains"))["nftables"]
    return {entry["chain"]["name"] for entry in found if "chain" in entry}


def nft(room: LibvirtRoom, *words: str) -> str:
    command = ["ip", "netns", "exec", room.namespace, "nft", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def lose_libvirtd(room: LibvirtRoom, vm: Vm) -> None:
    """Its guest lives on, and is known again."""
    room.daemon.kill()
    before = room.state(vm)
    await_that(lambda: "is not reached" in words(lambda: room.backend.vm.pause(room.task, vm)), "it is lost")
    assert room.state(vm) == before
    room.daemon.start()
    await_that(lambda: is_paused(room, vm), "it is back")
    room.backend.vm.unpause(room.task, vm)
    assert len(domains(room)) == 1


def is_paused(room: LibvirtRoom, vm: Vm) -> bool:
    with suppress(XenopsError):  # it is not back yet
        room.backend.vm.pause(room.task, vm)
    return room.state(vm).power_state is PowerState.PAUSED


def test_what_happened_while_libvirtd_was_away_is_found_out(room: LibvirtRoom) -> None:
    vm = room.vm()
    room.start(vm)
    pid = qemu(room)
    room.daemon.kill()
    os.kill(pid, signal.SIGKILL)
    room.daemon.start()
    assert room.told() == VmObject(id=VM)
    assert room.asks(vm) is DomainAction.CRASHDUMP
    room.backend.vm.destroy_device_model(room.task, vm)
    room.backend.vm.destroy(room.task, vm)
    assert room.state(vm).power_state is PowerState.HALTED
    room.start(vm)
    assert room.state(vm).power_state is PowerState.PAUSED


def qemu(room: LibvirtRoom) -> int:
    [pid] = (room.daemon.directory / "run" / "qemu").glob("xenops-*.pid")
    return int(pid.read_text())


def test_a_strangers_domain_is_never_touched(room: LibvirtRoom) -> None:
    stranger(room, UUID)
    vm = room.vm().model_copy(update={"id": UUID})
    room.create(vm)
    error = refusal(lambda: room.launch(vm))
    assert error == AlreadyExists(klass="domain", id=UUID)
    room.backend.vm.destroy_device_model(room.task, vm)
    room.backend.vm.destroy(room.task, vm)
    other = room.vm()
    room.start(other)
    room.backend.vm.remove(other)
    room.backend.stop()
    room.open()
    assert domains(room) == {"stranger"}


def test_a_domain_that_took_the_place_of_ours_is_a_strangers(room: LibvirtRoom) -> None:
    vm = room.vm().model_copy(update={"id": UUID})
    room.start(vm)
    room.backend.stop()
    client = room.daemon.client()
    client.destroy(UUID)
    client.close()
    stranger(room, UUID)
    room.open()
    assert room.asks(vm) is DomainAction.POWEROFF
    room.backend.vm.destroy_device_model(room.task, vm)
    room.backend.vm.destroy(room.task, vm)
    assert domains(room) == {"stranger"}


def test_a_start_that_a_worker_died_in_leaves_nothing(room: LibvirtRoom) -> None:
    vm = room.vm()
    room.start(vm)
    room.backend.stop()
    record = room.directory / "run" / "vm" / f"{VM}.json"
    record.write_text(record.read_text().replace(f'"{Stage.LAUNCHED}"', f'"{Stage.LAUNCHING}"'))
    room.open()
    assert not domains(room)
    room.backend.vm.destroy(room.task, vm)
    assert room.state(vm).power_state is PowerState.HALTED


@pytest.mark.parametrize("name", ["a,b=c", "q\"u'o<t>&e", "..", "ü ☃", "new\nline"])
def test_no_name_injects_anything(room: LibvirtRoom, name: str) -> None:
    vm = room.vm().model_copy(update={"id": name, "name": name})
    disk = LocalDisk(path=str(room.directory / f"{name}.raw"))
    Path(disk.path).write_bytes(bytes(MIB))
    vbd = xvd("a", disk).model_copy(update={"id": xvd("a", disk).id._replace(vm=name)})
    room.create(vm)
    room.backend.vbd.attach(room.task, VmId(name), vbd)
    room.backend.vbd.activate(room.task, VmId(name), vbd)
    room.launch(vm)
    assert room.state(vm).power_state is PowerState.PAUSED


def test_a_disk_of_a_storage_repository_is_found(room: LibvirtRoom) -> None:
    vm, disk = room.vm(), xvd("a", Vdi(name="SR/VDI"))
    (room.directory / "sr" / "SR").mkdir(parents=True)
    (room.directory / "sr" / "SR" / "VDI.raw").write_bytes(bytes(MIB))
    room.create(vm)
    room.plug(disk)
    room.launch(vm)
    assert room.backend.vbd.get_state(VM, disk).plugged


def test_bad_configurations_are_told_in_words(room: LibvirtRoom) -> None:
    boot = PvDirectBoot(kernel=str(room.directory / "no-kernel"))
    vm = room.vm().model_copy(update={"ty": Pvh(info=PvInfo(boot=DirectBoot(boot=boot)))})
    assert "no-kernel" in words(lambda: room.create(vm))
    room.backend.vm.destroy(room.task, vm)
    other = room.vm()
    room.create(other)
    room.backend.vif.plug(room.task, VM, vif(0, backend=LocalNetwork(bridge="nowhere")))
    error = refusal(lambda: room.launch(other))
    assert isinstance(error, FailedToStartEmulator)
    assert "nowhere" in error.message
    room.backend.vm.destroy(room.task, other)
    assert not domains(room)


def test_both_consoles_take_connections(room: LibvirtRoom) -> None:
    vm = room.vm()
    boot = vm.ty.info.model_copy(update={"framebuffer": True})
    vm = vm.model_copy(update={"ty": vm.ty.model_copy(update={"info": boot})})
    room.start(vm)
    screen, text = room.state(vm).consoles
    inside = Path(screen.path.replace("/var/lib/libvirt", str(room.daemon.directory / "lib")))
    with socket.socket(socket.AF_UNIX) as viewer:
        viewer.settimeout(PATIENCE_S)
        viewer.connect(str(inside))
        assert viewer.recv(12).startswith(b"RFB 003")
    with socket.socket(socket.AF_UNIX) as terminal:
        terminal.connect(text.path)


def test_pauses_of_others_are_seen(room: LibvirtRoom) -> None:
    vm = room.vm()
    room.start(vm)
    room.backend.vm.unpause(room.task, vm)
    while True:
        try:
            room.changes.get_nowait()
        except queue.Empty:
            break
    client = room.daemon.client()
    [domain] = client.domains()
    client.suspend(domain.uuid)
    client.close()
    assert room.told() == VmObject(id=VM)
    assert room.state(vm).power_state is PowerState.PAUSED
