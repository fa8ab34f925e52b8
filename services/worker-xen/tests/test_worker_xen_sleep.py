"""What sleeping takes of a guest's hardware."""

import pytest
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.fault import XenopsError
from schema.objects.errors import InternalError
from schema.objects.vm import DirectBoot, Hvm, HvmInfo, Pv, PvDirectBoot, PvInfo
from worker_xen.sleep import (
    HAS_SLEEP,
    POLL_S,
    can_sleep,
    comes,
    refuse_sleepless,
    setting_up,
    unrunning,
    unsaved,
    unwoken,
)

PLATFORM = (HAS_SLEEP, ("device-model", "qemu_xen"))


@pytest.mark.parametrize(
    ("ty", "platform"),
    [
        (Hvm(info=HvmInfo()), ()),
        (Hvm(info=HvmInfo()), (("acpi_s3", "0"),)),
        (Hvm(info=HvmInfo(acpi=False)), PLATFORM),
        (Pv(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot()))), PLATFORM),
    ],
)
def test_hardware_that_does_not_sleep_is_told_of(ty: Hvm | Pv, platform: tuple[tuple[str, str], ...]) -> None:
    vm = sample_vm(ty=ty, platformdata=platform)
    error = refusal(lambda: refuse_sleepless(vm))
    assert isinstance(error, InternalError)
    assert error.message.startswith(f"VM {vm.id} cannot be sent to sleep")
    assert "platform key acpi_s3=1" in error.message


def test_hardware_with_acpi_and_the_key_sleeps() -> None:
    vm = sample_vm(ty=Hvm(info=HvmInfo()), platformdata=PLATFORM)
    assert can_sleep(vm)
    refuse_sleepless(vm)


def test_registers_are_chosen_and_then_written() -> None:
    """As hvmloader does: interrupts 5, 10, 11 and 5 for PCI's four lines, and ACPI's ports."""
    assert setting_up() == (
        "o /w 0xcf8 0x80000860",
        "o /w 0xcfc 0x50b0a05",
        "o /w 0xcf8 0x80000b80",
        "o /w 0xcfc 0x1",
    )


def test_what_a_guest_is_waited_for_comes_or_does_not() -> None:
    looks = iter((False, False, True))
    assert comes(lambda: next(looks), SuiteExecution(), 10 * POLL_S)
    assert not comes(lambda: False, SuiteExecution(), 2 * POLL_S)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(unsaved("v1"), "VM.s3resume"), (unrunning("v1"), "unpause"), (unwoken("v1"), "reboot")],
)
def test_what_cannot_be_is_said_with_what_to_do(error: XenopsError, remedy: str) -> None:
    assert isinstance(error.error, InternalError)
    assert "VM v1" in error.error.message
    assert remedy in error.error.message
