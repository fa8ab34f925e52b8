"""Sleep: what sleeping in memory (ACPI S3) takes of an HVM guest's hardware; values and no I/O."""

from collections.abc import Callable

from engine.backend import Execution
from schema.fault import XenopsError, internal_error
from schema.objects.vm import Hvm, Vm

SLEEP_TIMEOUT_S = 60.0
"""How long a guest may take to put its devices to rest; as long as one may take to acknowledge a suspend."""

WAKE_TIMEOUT_S = 20.0
"""A device model begins anew at once."""

POLL_S = 0.1
"""No event tells of it for sure: one that was sent while nobody listened is lost."""

HAS_SLEEP = ("acpi_s3", "1")
"""A key of `Vm.platformdata`, and its value where hvmloader shall tell the guest of this sleep."""

_ADDRESS, _DATA = 0xCF8, 0xCFC
_LINKS, _POWER = 0x80000860, 0x80000B80
_FIRMWARE_SETS = ((_LINKS, 0x050B0A05), (_POWER, 1))
"""Registers of the PIIX, by their addresses on its bus, as hvmloader sets them: where PCI's interrupts go,
and that there are ACPI's ports. QEMU forgets both when it wakes a guest, and SeaBIOS knows of neither."""


def can_sleep(vm: Vm) -> bool:
    """Whether its hardware can."""
    key, value = HAS_SLEEP
    return isinstance(vm.ty, Hvm) and vm.ty.info.acpi and dict(vm.platformdata).get(key) == value


def refuse_sleepless(vm: Vm) -> None:
    """Errors: `Internal_error` when its hardware cannot."""
    if not can_sleep(vm):
        key, value = HAS_SLEEP
        raise internal_error(
            f"VM {vm.id} cannot be sent to sleep, as its hardware does not sleep: give it ACPI and the "
            f"platform key {key}={value}, and reboot it"
        )


def unsaved(vm: str) -> XenopsError:
    """What is said of a guest that is to be saved while it sleeps: an image would not say so."""
    return internal_error(f"VM {vm} cannot be saved while its guest sleeps: wake it with VM.s3resume")


def unrunning(vm: str) -> XenopsError:
    """What is said of a guest that is to sleep while it is paused."""
    return internal_error(f"VM {vm} cannot be sent to sleep, as its guest does not run: unpause it first")


def unwoken(vm: str) -> XenopsError:
    """What is said where the device model was told to wake its guest, and does not."""
    return internal_error(f"The device model of VM {vm} does not wake its guest: reboot it")


def comes(holds: Callable[[], bool], execution: Execution, timeout_s: float) -> bool:
    """Look again and again; answers whether it held in time. A cancel raises."""
    for _ in range(round(timeout_s / POLL_S)):
        if holds():
            return True
        execution.wait(POLL_S)
    return False


def setting_up() -> tuple[str, ...]:
    """Commands of QEMU's old monitor that set hardware up again for a guest that is about to wake.

    No other monitor writes to the hardware's ports.
    """
    return tuple(
        f"o /w {port:#x} {value:#x}"
        for register, content in _FIRMWARE_SETS
        for port, value in ((_ADDRESS, register), (_DATA, content))
    )
