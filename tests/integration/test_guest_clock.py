"""A real guest's hardware clock, on QEMU and on libvirt: where it begins, and what its guest sets it to."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from libvirt_room import LibvirtRoom, await_that
from qemu_host import PATIENCE_S, Host, line
from schema.objects.disk import LocalDisk
from schema.objects.vm import Vm
from stack.console import Console

HOUR_S = 3600


@pytest.fixture(name="host", params=["qemu", "libvirt"])
def make_host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path, bridged=False) if request.param == "qemu" else LibvirtRoom() as host:
        yield host


def of_clock(host: Host, timeoffset: str) -> Vm:
    return host.vm(platformdata=(("timeoffset", timeoffset),))


def booted(host: Host, vm: Vm) -> Console:
    host.start(vm)
    console = host.console(vm)
    host.backend.vm.unpause(host.task, vm)
    line(console, "userland is up")
    return console


def ahead_s(console: Console) -> float:
    """How far from UTC the guest's hardware clock is, by its own word; off by how long that took."""
    console.say("cd /sys/class/rtc/rtc0; echo clo\\ck $(cat since_epoch)")
    found = re.search(r"clock (\d+)", line(console, "clock "))
    assert found is not None
    return int(found[1]) - time.time()


def is_about(ahead_s: float, wanted_s: int) -> bool:
    return abs(ahead_s - wanted_s) < PATIENCE_S


def set_ahead(host: Host, vm: Vm, console: Console, ahead_s: int) -> None:
    """Have the guest set its hardware clock, and see that its toolstack is told."""
    console.say(f"busybox date -s @{int(time.time()) + ahead_s}; busybox hwclock -w -u; echo s\\et")
    line(console, "set")

    def is_told() -> bool:
        told = host.state(vm).rtc_timeoffset
        return told != "" and is_about(int(told), ahead_s)

    await_that(is_told, f"a client is told of {ahead_s}")


def test_a_clock_that_a_guest_has_set_is_right_after_a_reboot(host: Host) -> None:
    vm, verbs = of_clock(host, str(5 * HOUR_S)), host.backend.vm
    with booted(host, vm) as console:
        assert host.state(vm).rtc_timeoffset == ""
        assert is_about(ahead_s(console), 5 * HOUR_S)
        set_ahead(host, vm, console, -2 * HOUR_S)
    verbs.destroy(host.task, vm)
    with booted(host, vm) as console:
        assert is_about(ahead_s(console), -2 * HOUR_S)
        assert is_about(int(host.state(vm).rtc_timeoffset), -2 * HOUR_S)
        set_ahead(host, vm, console, HOUR_S)
    verbs.destroy(host.task, vm)
    verbs.add(vm)
    with booted(host, vm) as console:
        assert is_about(ahead_s(console), 5 * HOUR_S)


def test_what_a_guest_did_to_its_clock_while_no_worker_ran_is_found_out(host: Host) -> None:
    vm = of_clock(host, "0")
    with booted(host, vm) as console:
        host.backend.stop()
        console.say(f"busybox date -s @{int(time.time()) + 3 * HOUR_S}; busybox hwclock -w -u; echo s\\et")
        line(console, "set")
        host.open()

        def is_told() -> bool:
            told = host.state(vm).rtc_timeoffset
            return told != "" and is_about(int(told), 3 * HOUR_S)

        await_that(is_told, "the worker has found out")


def test_a_suspended_guest_has_its_clock_when_it_is_resumed(host: Host) -> None:
    vm, image, verbs = of_clock(host, "0"), LocalDisk(path=str(host.directory / "image")), host.backend.vm
    with booted(host, vm) as console:
        set_ahead(host, vm, console, 4 * HOUR_S)
    verbs.save(host.task, vm, image, live=False)
    verbs.destroy_device_model(host.task, vm)
    verbs.destroy(host.task, vm)
    verbs.create(host.task, vm, Devices(), CreateOptions())
    verbs.restore(host.task, vm, Devices(), image)
    with host.console(vm) as console:
        verbs.unpause(host.task, vm)
        assert is_about(ahead_s(console), 4 * HOUR_S)
        assert is_about(int(host.state(vm).rtc_timeoffset), 4 * HOUR_S)
        set_ahead(host, vm, console, HOUR_S)
