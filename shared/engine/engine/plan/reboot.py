"""Reboot: shutdown and start in one operation, during which the VM counts as running."""

from schema.atomics.vm import ShutdownRequest, VmHookScript, VmUnpause
from schema.ids import VmId

from engine.backend import Devices
from engine.hook_names import HookName, HookReason
from engine.plan.groups import Steps, do, parallel
from engine.plan.shutdown import ask_guest, end_epochs, shutdown
from engine.plan.start import start


def reboot(vm: VmId, devices: Devices, timeout_s: float | None) -> Steps:
    """The guest is asked before the first hook, and the domain is then taken down without asking again."""
    reason = HookReason.HARD_REBOOT if timeout_s is None else HookReason.CLEAN_REBOOT
    return (
        *ask_guest(vm, ShutdownRequest.REBOOT, timeout_s),
        *do(VmHookScript(vm=vm, hook=HookName.PRE_SHUTDOWN, reason=reason)),
        *shutdown(vm, devices, None),
        *parallel("end epochs", end_epochs(devices.vbds)),
        *do(
            VmHookScript(vm=vm, hook=HookName.POST_DESTROY, reason=reason),
            VmHookScript(vm=vm, hook=HookName.PRE_REBOOT, reason=HookReason.NONE),
        ),
        *start(vm, devices, force=False),
        *do(VmUnpause(vm=vm)),
    )
