"""What holds a guest back, and what it does to its devices by itself: on a real guest."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from qemu_host import MIB, VM, Host, line, vif, xvd
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import ObjectId, VbdObject, VifObject
from schema.objects.errors import Unimplemented
from schema.objects.vbd import BestEffortQos, Ionice, NormalQos, Vbd, VbdMode, VbdType
from stack.console import Console

REQUEST_BYTES, RATE_BYTES_S = 64 << 10, 256 << 10


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as host:
        host.backend.stop()
        host.settings = replace(host.settings, poll_s=0.2)
        host.open()
        yield host


def limited(letter: str, disk: LocalDisk, **limits: int) -> Vbd:
    keys = tuple((name, str(limit)) for name, limit in limits.items())
    return xvd(letter, disk, extra_backend_keys=keys)


def cd(letter: str, disk: LocalDisk | None) -> Vbd:
    found = xvd(letter, disk or LocalDisk(path=""), ty=VbdType.CDROM, mode=VbdMode.READ_ONLY)
    return found if disk else found.model_copy(update={"backend": None})


def rate_bytes_s(console: Console, device: str, requests: int) -> float:
    """How much the guest reads in a second, past its cache, by our clock: an emulated one may be wrong.

    No more than that: from when it is told to, not from when it is seen to begin, which may be late.
    """
    dd = f"dd if=/dev/{device} of=/dev/null bs={REQUEST_BYTES} count={requests} iflag=direct"
    began_s = time.monotonic()
    console.say(f"{dd}; echo e\\nd")
    line(console, "end")
    return requests * REQUEST_BYTES / (time.monotonic() - began_s)


def until_told(host: Host, wanted: ObjectId) -> None:
    while host.told() != wanted:
        pass


def test_a_disk_keeps_to_its_limits_which_change_while_the_guest_runs(host: Host) -> None:
    vm, disk = host.vm(), host.disk("a.raw")
    held, free = limited("a", disk, total_bytes_sec=RATE_BYTES_S), limited("a", disk)
    host.create(vm)
    host.plug(held)
    host.launch(vm)
    host.plug(limited("b", host.disk("b.raw"), read_iops_sec=RATE_BYTES_S // REQUEST_BYTES))
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        for device in ("sda", "sdb"):
            assert rate_bytes_s(console, device, 8) < 1.3 * RATE_BYTES_S
        assert host.backend.vbd.wants_qos(VM, free)
        host.backend.vbd.set_qos(host.task, VM, free)
        assert not host.backend.vbd.wants_qos(VM, free)
        assert rate_bytes_s(console, "sda", 32) > 1.3 * RATE_BYTES_S
    scheduled = xvd("c", disk, qos=Ionice(scheduler=BestEffortQos(level=NormalQos())))
    assert isinstance(refusal(lambda: host.plug(scheduled)), Unimplemented)


def test_what_a_guest_ejects_is_out(host: Host) -> None:
    drive = cd("a", host.disk("cd.raw"))
    with host.up(host.vm()) as console:
        host.plug(drive)
        line(console, "disk sr0 came")
        console.say("echo 1 >/proc/sys/dev/cdrom/autoeject; head -c 4 /dev/sr0; echo ejec\\ted")
        line(console, "ejected")
        until_told(host, VbdObject(id=drive.id))
        state = host.backend.vbd.get_state(VM, drive)
        assert state.plugged
        assert state.backend_present is None
        assert drive.backend is not None
        assert not is_open(host, drive.backend)
        host.backend.vbd.insert(host.task, VM, drive, drive.backend)
        assert host.backend.vbd.get_state(VM, drive).backend_present == drive.backend
        assert not host.backend.vbd.wants_unplug(VM, drive)
        console.say("echo 0 >/proc/sys/dev/cdrom/autoeject; head -c 4 /dev/sr0 | wc -c; echo re\\ad")
        line(console, "read")


def is_open(host: Host, disk: object) -> bool:
    assert isinstance(disk, LocalDisk)
    return disk.path in {str(path.readlink()) for path in Path(f"/proc/{host.pid()}/fd").iterdir()}


def test_a_card_that_the_guest_lets_go_of_wants_to_be_unplugged(host: Host) -> None:
    interface = vif(0)
    with host.up(host.vm()) as console:
        host.backend.vif.plug(host.task, VM, interface)
        line(console, "interface eth0 came")
        assert not host.backend.vif.wants_unplug(VM, interface)
        console.say("for slot in /sys/bus/pci/slots/*; do echo 0 > $slot/power; done")
        until_told(host, VifObject(id=interface.id))
    assert host.backend.vif.wants_unplug(VM, interface)
    host.backend.stop()
    host.open()
    until_told(host, VifObject(id=interface.id))
    host.backend.vif.unplug(host.task, VM, interface, force=True)
    assert not host.backend.vif.get_state(VM, interface).plugged
    assert not host.backend.vif.wants_unplug(VM, interface)


def test_a_disk_that_grows_on_the_host_grows_in_the_guest(host: Host) -> None:
    disk = host.disk("a.raw")
    with host.up(host.vm()) as console:
        host.plug(xvd("a", disk))
        line(console, "disk sda came")
        os.truncate(disk.path, 24 * MIB)
        console.say("until [ $(cat /sys/block/sda/size) = 49152 ]; do sleep 0.2; done; echo gro\\wn")
        line(console, "grown")
