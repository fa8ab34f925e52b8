"""How guests and their QEMUs end, by themselves or by force, and what a worker makes of it, there or away."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from engine.hosted.records import RunDirectoryInUseError
from qemu_host import PATIENCE_S, VM, Host, line, vif
from schema.atomics.vm import DomainAction, ShutdownRequest
from schema.objects.dynamic import VmObject
from schema.objects.errors import InternalError
from schema.objects.vm import DirectBoot, PowerState, PvDirectBoot, Pvh, PvInfo
from worker_kvm.qemu.command import Sockets
from worker_kvm.qemu.records import Records
from worker_kvm.qemu.sweep import end_domains, find_strays

QUIET_S = 0.1


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as host:
        yield host


@pytest.mark.parametrize(
    ("command", "asked"), [("poweroff -f", DomainAction.POWEROFF), ("reboot -f", DomainAction.REBOOT)]
)
@pytest.mark.parametrize("heard", [True, False], ids=["heard", "while the worker is away"])
def test_what_a_guest_that_ends_wants_is_known(
    host: Host, command: str, asked: DomainAction, *, heard: bool
) -> None:
    vm = host.vm()
    with host.up(vm) as console:
        monitor = host.settings.run / str(host.state(vm).domids[0]) / "qmp"
        if not heard:
            host.backend.stop()
        console.say(command)
        if not heard:
            wait_until_it_ended(monitor, command)
            host.open()
        assert host.told() == VmObject(id=VM)
    assert host.asks(vm) is asked
    assert host.state(vm).power_state is PowerState.RUNNING


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "while the worker is away"])
def test_that_a_guest_has_panicked_is_known(host: Host, *, heard: bool) -> None:
    vm = host.vm("panic")
    host.start(vm)
    monitor = host.settings.run / str(host.state(vm).domids[0]) / "qmp"
    host.backend.vm.unpause(host.task, vm)
    if not heard:
        host.backend.stop()
        wait_until_it_ended(monitor, "panic")
        host.open()
    assert host.told() == VmObject(id=VM)
    assert host.asks(vm) is DomainAction.CRASHDUMP


def wait_until_it_ended(monitor: Path, command: str) -> None:
    """Ask QEMU itself, as an operator might: nobody else is connected to its monitor."""
    attempts = threading.Event()
    for _ in range(int(PATIENCE_S / QUIET_S)):
        if b'"running": false' in status(monitor):
            return
        attempts.wait(QUIET_S)
    pytest.fail(f"the guest did not end by {command!r}")


def status(monitor: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answers:
        client.settimeout(PATIENCE_S)
        client.connect(str(monitor))
        answers.readline()
        client.sendall(b'{"execute":"qmp_capabilities"}{"execute":"query-status"}')
        answers.readline()
        return answers.readline()


def test_a_clean_shutdown_is_the_guests_own(host: Host) -> None:
    vm = host.vm()
    with host.up(vm) as console:
        assert host.backend.vm.request_shutdown(host.task, vm, ShutdownRequest.HALT, PATIENCE_S)
        line(console, "power button")
    assert host.backend.vm.wait_shutdown(host.task, vm, ShutdownRequest.HALT, PATIENCE_S)
    assert host.asks(vm) is DomainAction.POWEROFF


def test_a_guest_that_does_not_listen_is_waited_for_no_longer_than_told(host: Host) -> None:
    vm = host.vm()
    with host.up(vm) as console:
        host.backend.vm.pause(host.task, vm)
        assert not host.backend.vm.request_shutdown(host.task, vm, ShutdownRequest.HALT, 1.0)
        host.backend.vm.unpause(host.task, vm)
        console.say("halt -f")
        line(console, "System halted")
    assert host.backend.vm.request_shutdown(host.task, vm, ShutdownRequest.HALT, 1.0)
    assert not host.backend.vm.wait_shutdown(host.task, vm, ShutdownRequest.HALT, 0.2)


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "while the worker is away"])
def test_a_killed_qemu_counts_as_a_crash_and_leaves_a_vm_that_can_be_shut_down(
    host: Host, *, heard: bool
) -> None:
    vm = host.vm()
    host.create(vm)
    host.backend.vif.plug(host.task, VM, vif(0))
    host.launch(vm)
    pid = host.pid()
    if not heard:
        host.backend.stop()
    os.kill(pid, signal.SIGKILL)
    if not heard:
        host.open()
    assert host.told() == VmObject(id=VM)
    assert host.asks(vm) is DomainAction.CRASHDUMP
    host.backend.vm.destroy_device_model(host.task, vm)
    host.backend.vif.unplug(host.task, VM, vif(0), force=True)
    host.backend.vm.destroy(host.task, vm)
    assert host.state(vm).power_state is PowerState.HALTED
    host.start(vm)
    assert host.state(vm).power_state is PowerState.PAUSED


def test_a_qemu_that_did_not_answer_a_worker_that_starts_and_dies_then_counts_as_a_crash(host: Host) -> None:
    """As one that was killed a moment before, and is not gone yet."""
    vm = host.vm()
    host.start(vm)
    pid, [domid] = host.pid(), host.state(vm).domids
    host.backend.stop()
    Sockets(host.settings.run / str(domid)).monitor.unlink()
    host.settings = replace(host.settings, poll_s=0.05)
    host.open()
    os.kill(pid, signal.SIGKILL)
    assert host.told() == VmObject(id=VM)
    assert host.asks(vm) is DomainAction.CRASHDUMP


def test_a_qemu_that_was_never_noted_is_ended_at_the_next_start(host: Host) -> None:
    vm = host.vm()
    host.start(vm)
    pid = host.pid()
    host.backend.stop()
    record = host.settings.run / "vm" / f"{VM}.json"
    record.unlink()
    host.open()
    assert host.state(vm).power_state is PowerState.HALTED
    assert pid not in [stray.process.pid for stray in find_strays(host.settings.run)]


def test_a_run_directory_has_one_owner(host: Host) -> None:
    with pytest.raises(RunDirectoryInUseError, match="another worker serves the VMs in"):
        Records(host.settings.run, patience_s=0.1)


def test_after_a_boot_of_the_host_nothing_is_known(host: Host) -> None:
    vm = host.vm()
    host.start(vm)
    host.backend.stop()
    end_domains(host.settings.run)
    (host.settings.run / "boot").write_text("another boot")
    host.open()
    assert host.state(vm).power_state is PowerState.HALTED
    assert not list((host.settings.run / "vm").iterdir())


def test_a_kernel_that_cannot_be_read_is_named(host: Host) -> None:
    boot = PvDirectBoot(kernel=str(host.directory / "no-kernel"))
    vm = host.vm().model_copy(update={"ty": Pvh(info=PvInfo(boot=DirectBoot(boot=boot)))})
    error = refusal(lambda: host.create(vm))
    assert isinstance(error, InternalError)
    assert "no-kernel" in error.message
