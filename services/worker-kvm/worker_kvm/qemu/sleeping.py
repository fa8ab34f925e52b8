"""Sleeping: a guest is sent to sleep in its memory (ACPI S3) by its agent, and woken by QEMU."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from engine.backend import Execution
from schema.fault import XenopsError, internal_error
from schema.objects.errors import FailedToAcknowledgeSuspendRequest
from schema.objects.vm import Vm

from worker_kvm.qemu.agents import AgentMissingError
from worker_kvm.qemu.firmware import boots_by_uefi
from worker_kvm.qemu.guest_agent import AgentRefusedError
from worker_kvm.qemu.live import Live
from worker_kvm.watched import Status

SLEEP_TIMEOUT_S = 60.0
"""How long a guest may take to put its devices to rest; as long as one may take to acknowledge a suspend."""

WAKE_TIMEOUT_S = 20.0
"""QEMU wakes it at once; its devices come back later, by themselves."""

ORDER = "guest-suspend-ram"
"""The agent's command."""


class Sleeper(Protocol):
    """A guest that is told to sleep."""

    @property
    def asleep(self) -> bool:
        """Whether it sleeps."""

    @property
    def status(self) -> Status:
        """What it does now."""

    def notify(self) -> None:
        """Have those who wait look again."""

    def wait_for(self, execution: Execution, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for what events bring; a cancel raises. Answers whether it came in time."""


def put_to_sleep(vm: Vm, live: Sleeper, order: Callable[[], Future[None]], execution: Execution) -> None:
    """Have the guest's agent send it to sleep, and wait until it does; it sleeps, nothing to do.

    `order` gives the agent the order. A guest without UEFI is let be: Debian's SeaBIOS does not bring q35's
    ACPI back, so it could sleep once, and then neither sleep nor end.

    Errors: `Internal_error` when the guest has no UEFI, does not run, has no agent or says no;
    `Failed_to_acknowledge_suspend_request` when it does not sleep in time.
    """
    if live.asleep:
        return
    what = f"VM {vm.id} cannot be sent to sleep"
    if not boots_by_uefi(vm):
        raise internal_error(f"{what}: the BIOS does not wake a guest whole; give it UEFI as firmware")
    if live.status is not Status.RUNNING:
        raise internal_error(f"{what}, as its guest does not run: unpause it first")
    try:
        obeying = order()
    except AgentMissingError as error:
        raise internal_error(
            f"{what}, as no agent runs in its guest: install qemu-guest-agent there"
        ) from error
    obeying.add_done_callback(lambda _: live.notify())
    try:
        live.wait_for(
            execution,
            lambda: live.asleep or live.status is Status.ENDED or _refusal(obeying) is not None,
            SLEEP_TIMEOUT_S,
        )
    finally:
        obeying.cancel()
    if not live.asleep:
        refusal = _refusal(obeying)
        if refusal is None:
            raise XenopsError(FailedToAcknowledgeSuspendRequest())
        raise internal_error(f"{what}: {refusal}")


def wake(live: Live) -> None:
    """Wake the guest; it is awake, nothing to do. Errors: `Internal_error` with QEMU's words."""
    if live.asleep:
        live.do("system_wakeup")
        live.wait(lambda: not live.asleep, WAKE_TIMEOUT_S)


def refuse_asleep(vm: str, live: Sleeper, what: str) -> None:
    """Errors: `Internal_error` when the guest sleeps, in which QEMU can do nothing of `what` with it."""
    if live.asleep:
        raise internal_error(f"VM {vm} cannot be {what} while its guest sleeps: wake it with VM.s3resume")


def _refusal(obeying: Future[None]) -> AgentRefusedError | None:
    if not obeying.done() or obeying.cancelled():
        return None
    error = obeying.exception()
    return error if isinstance(error, AgentRefusedError) else None
