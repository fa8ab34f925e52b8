"""On a real libvirtd: UEFI and its variables, a TPM and its state, an agent in the guest, and sleep."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from libvirt_room import LibvirtRoom, await_that
from qemu_host import GUEST, MIB, line, xvd
from schema.atomics.vm import ShutdownRequest
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError
from schema.objects.vbd import VbdMode
from schema.objects.vm import Hvm, HvmInfo, PowerState, Uefi, UefiOnBoot, UefiVariables, Vm, Vtpm

FIRMWARE_PATIENCE_S = 600.0
TPM = Vtpm(uuid="72efcd27-a5de-484d-8574-1a8e3afc9ecc")


@pytest.fixture(name="room")
def make_room() -> Iterator[LibvirtRoom]:
    with LibvirtRoom() as room:
        yield room


def uefi_vm(room: LibvirtRoom, on_boot: UefiOnBoot, tpm: Vtpm | None = TPM, **platform: str) -> Vm:
    info = HvmInfo(firmware=Uefi(variables=UefiVariables(on_boot=on_boot)), tpm=tpm)
    memory = ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min")
    fields = {"ty": Hvm(info=info), "platformdata": tuple(platform.items())}
    return room.vm().model_copy(update=fields | dict.fromkeys(memory, 256 * MIB))


def kept(room: LibvirtRoom) -> dict[str, bytes]:
    """What libvirt keeps of VMs beyond their domains: variables, and TPMs."""
    lib = room.directory / "d" / "lib"
    found = [*lib.glob("qemu/nvram/*"), *lib.glob("swtpm/*/tpm2/tpm2-00.permall")]
    return {str(path): path.read_bytes() for path in found}


def test_what_libvirt_keeps_of_a_vm_lasts_until_it_is_removed(room: LibvirtRoom) -> None:
    vm, reset = (uefi_vm(room, on_boot) for on_boot in (UefiOnBoot.PERSIST, UefiOnBoot.RESET))
    room.start(vm)
    [variables, tpm] = sorted(kept(room), key=lambda path: "swtpm" in path)
    new = kept(room)
    room.backend.vm.destroy(room.task, vm)
    changed = bytes(100) + new[variables][100:]
    Path(variables).write_bytes(changed)
    room.start(vm)
    assert kept(room) == {variables: changed, tpm: new[tpm]}
    room.backend.vm.destroy(room.task, vm)
    room.start(reset)
    assert kept(room) == new
    room.backend.vm.destroy(room.task, vm)
    room.start(uefi_vm(room, UefiOnBoot.PERSIST, secureboot="true"))
    assert kept(room)[variables] != new[variables]
    room.backend.vm.remove(vm)
    assert kept(room) == {}


def test_a_guest_that_boots_by_uefi_is_heard_and_sleeps_by_its_agent(room: LibvirtRoom) -> None:
    vm = uefi_vm(room, UefiOnBoot.PERSIST)
    room.create(vm)
    room.plug(xvd("a", LocalDisk(path=str(GUEST.uefi_disk)), mode=VbdMode.READ_ONLY))
    room.launch(vm)
    with room.console(vm) as console:
        room.backend.vm.unpause(room.task, vm)
        for found in console.lines(FIRMWARE_PATIENCE_S):
            if "userland is up" in found:
                break
        console.say("hostname web1; ls /dev/tpm0 && echo tpm i\\s there")
        line(console, "tpm is there")
        await_that(lambda: ("data/host_name_dns", "web1") in room.state(vm).guest_agent, "the agent is heard")
        told = dict(room.state(vm).guest_agent)
        assert told["data/os_name"] == "Tiny guest 1.0 (xenops)"
        assert 0 < int(told["data/meminfo_free"]) < int(told["data/meminfo_total"]) < 256 << 10
        console.say("while sleep 0.5; do read n </sys/power/suspend_stats/success; echo slept $n; done &")
        for _ in range(2):
            room.backend.vm.s3suspend(room.task, vm)
        assert room.state(vm).power_state is PowerState.RUNNING
        error = refusal(lambda: room.backend.vm.pause(room.task, vm))
        assert isinstance(error, InternalError)
        assert "wake it with VM.s3resume" in error.message
        room.backend.stop()
        room.open()
        for _ in range(2):
            room.backend.vm.s3resume(room.task, vm)
        line(console, "slept 1")
        await_that(lambda: bool(room.state(vm).guest_agent), "a worker that starts hears the agent")
    assert room.backend.vm.request_shutdown(room.task, vm, ShutdownRequest.HALT, FIRMWARE_PATIENCE_S)
    assert room.backend.vm.wait_shutdown(room.task, vm, ShutdownRequest.HALT, FIRMWARE_PATIENCE_S)
