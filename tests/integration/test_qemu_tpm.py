"""Virtual TPMs by swtpm, sleep, and secure boot, with real firmware and a real guest that boots by it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.subject import refusal
from qemu_host import GUEST, MIB, VM, Host, xvd
from schema.atomics.vm import ShutdownRequest
from schema.objects.disk import LocalDisk
from schema.objects.errors import FailedToStartEmulator, InternalError
from schema.objects.vbd import Vbd, VbdMode
from schema.objects.vm import Hvm, HvmInfo, PowerState, Uefi, UefiVariables, Vm, Vtpm
from stack.console import Console
from worker_kvm.qemu.machine import Machine, Process
from worker_kvm.qemu.process import ends, is_alive

FIRMWARE_PATIENCE_S = 600.0
"""Firmware that is emulated measures and hashes what it boots."""

UEFI = Uefi(variables=UefiVariables())
TPM = Vtpm(uuid="72efcd27-a5de-484d-8574-1a8e3afc9ecc")
READ_CLOCK = r"printf '\200\001\000\000\000\012\000\000\001\201' >/tmp/c; exec 5<>/dev/tpm0; cat /tmp/c >&5;"
NOTE = b"noted at the end of the variables"
RESETS = f"{READ_CLOCK} set -- $(dd bs=64 count=1 <&5 2>/dev/null | hexdump -v -e '/1 \"%02x \"'); exec 5>&-"
MEASURED = "read -r first </sys/class/tpm/tpm0/pcr-sha256/4"
BOOT_DISK = LocalDisk(path=str(GUEST.uefi_disk))


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path, bridged=False) as host:
        yield host


def hvm(host: Host, info: HvmInfo, memory_mib: int, **platform: str) -> Vm:
    memory = ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min")
    fields = {"ty": Hvm(info=info), "platformdata": tuple(platform.items())}
    return host.vm().model_copy(update=fields | dict.fromkeys(memory, memory_mib * MIB))


def with_boot_disk() -> Vbd:
    return xvd("a", BOOT_DISK, mode=VbdMode.READ_ONLY)


def swtpm(host: Host) -> Process:
    record = Machine.model_validate_json((host.settings.run / "vm" / f"{VM}.json").read_bytes())
    process = record.living().tpm
    assert process is not None
    return process


def kept(host: Host) -> bytes:
    [state] = (host.directory / "kept" / "tpm").glob("*/tpm2-00.permall")
    return state.read_bytes()


def test_a_tpm_lives_as_long_as_its_qemu_and_what_it_keeps_as_long_as_its_vm(host: Host) -> None:
    vm = hvm(host, HvmInfo(tpm=TPM), 16)
    host.start(vm)
    first, process = kept(host), swtpm(host)
    assert host.settings.user is not None
    assert Path(f"/proc/{process.pid}").stat().st_uid == host.settings.user.of(host.state(vm).domids[0])[0]
    host.backend.stop()
    host.open()
    assert is_alive(process)
    host.backend.vm.destroy(host.task, vm)
    assert not is_alive(process)
    host.start(vm)
    assert kept(host) == first
    os.kill(host.pid(), signal.SIGKILL)
    assert ends(swtpm(host), FIRMWARE_PATIENCE_S)
    host.backend.vm.destroy(host.task, vm)
    host.start(vm)
    os.kill(swtpm(host).pid, signal.SIGKILL)
    host.backend.vm.unpause(host.task, vm)
    assert host.state(vm).power_state is PowerState.RUNNING
    host.backend.vm.remove(vm)
    assert list((host.directory / "kept" / "tpm").iterdir()) == []


def test_a_damaged_tpm_is_named_and_its_vm_not_started(host: Host) -> None:
    vm = hvm(host, HvmInfo(tpm=TPM), 16)
    host.start(vm)
    host.backend.vm.destroy(host.task, vm)
    [state] = (host.directory / "kept" / "tpm").glob("*/tpm2-00.permall")
    state.write_bytes(b"damaged")
    host.create(vm)
    error = refusal(lambda: host.launch(vm))
    assert isinstance(error, FailedToStartEmulator)
    assert "CMD_INIT" in error.message
    assert "Invalid magic" in error.message
    host.backend.vm.destroy(host.task, vm)
    assert host.state(vm).power_state is PowerState.HALTED


def variables(host: Host) -> Path:
    [found] = (host.directory / "kept" / "firmware").iterdir()
    return found


def test_a_tpm_and_uefi_variables_go_with_their_guests_state_to_another_host(
    host: Host, tmp_path: Path
) -> None:
    vm, image = hvm(host, HvmInfo(firmware=UEFI, tpm=TPM), 64), LocalDisk(path=str(tmp_path / "image"))
    host.start(vm)
    host.backend.vm.destroy(host.task, vm)
    written = variables(host).read_bytes()[: -len(NOTE)] + NOTE
    variables(host).write_bytes(written)
    host.start(vm)
    host.backend.vm.unpause(host.task, vm)
    host.backend.vm.save(host.task, vm, image, live=False)
    with Host(tmp_path / "there", bridged=False) as there:
        there.backend.vm.create(there.task, vm, Devices(), CreateOptions())
        there.backend.vm.restore(there.task, vm, Devices(), image)
        assert kept(there) == kept(host)
        there.backend.vm.unpause(there.task, vm)
        assert variables(there).read_bytes().endswith(NOTE)
        assert there.state(vm).power_state is PowerState.RUNNING
        there.backend.vm.remove(vm)


def said(console: Console, words: str) -> str:
    for found in console.lines(FIRMWARE_PATIENCE_S):
        if words in found:
            return found
    pytest.fail(f"nobody said {words!r}")


def boot(host: Host, vm: Vm) -> Console:
    host.create(vm)
    host.plug(with_boot_disk())
    host.launch(vm)
    console = host.console(vm)
    host.backend.vm.unpause(host.task, vm)
    return console


def asked(console: Console) -> tuple[str, str]:
    """How often the TPM was reset, and what the firmware has measured of what it booted."""
    console.say(f"{RESETS}; {MEASURED}; echo res\\ets ${{27}}${{28}}${{29}}${{30}} meas\\ured $first")
    _, resets, _, measured = said(console, "resets ").split()
    return resets, measured


def refused_asleep(host: Host, vm: Vm) -> None:
    for act in (
        lambda: host.backend.vm.pause(host.task, vm),
        lambda: host.backend.vm.assert_can_save(vm),
        lambda: host.backend.vm.save(host.task, vm, host.disk("image"), live=False),
    ):
        error = refusal(act)
        assert isinstance(error, InternalError)
        assert "while its guest sleeps: wake it with VM.s3resume" in error.message


def sleeps_and_wakes(host: Host, vm: Vm, console: Console) -> None:
    console.say("while sleep 0.5; do read n </sys/power/suspend_stats/success; echo slept $n; done &")
    while not host.state(vm).guest_agent:
        host.told()
    for _ in range(2):
        host.backend.vm.s3suspend(host.task, vm)
    assert host.state(vm).power_state is PowerState.RUNNING
    refused_asleep(host, vm)
    host.backend.stop()
    host.open()
    refused_asleep(host, vm)
    for _ in range(2):
        host.backend.vm.s3resume(host.task, vm)
    said(console, "slept 1")


def test_a_guest_sleeps_wakes_and_is_resumed_and_its_tpm_with_it(host: Host) -> None:
    vm, image = hvm(host, HvmInfo(firmware=UEFI, tpm=TPM), 256), LocalDisk(path=str(host.directory / "image"))
    with boot(host, vm) as console:
        said(console, "userland is up")
        first = asked(console)
        sleeps_and_wakes(host, vm, console)
        assert asked(console) == first
    host.backend.vm.save(host.task, vm, image, live=False)
    host.backend.vm.destroy(host.task, vm)
    devices = Devices(vbds=(with_boot_disk(),))
    host.backend.vm.create(host.task, vm, devices, CreateOptions())
    host.backend.vm.restore(host.task, vm, devices, image)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        assert asked(console) == first
        assert host.backend.vm.request_shutdown(host.task, vm, ShutdownRequest.HALT, FIRMWARE_PATIENCE_S)
        assert host.backend.vm.wait_shutdown(host.task, vm, ShutdownRequest.HALT, FIRMWARE_PATIENCE_S)
    resets, measured = first
    assert int(resets, 16) > 0
    assert int(measured, 16) > 0


def test_secure_boot_boots_nothing_that_is_not_signed(host: Host) -> None:
    vm = hvm(host, HvmInfo(firmware=UEFI), 256, secureboot="true")
    with boot(host, vm) as console:
        assert "failed to load" in said(console, "Access Denied")
