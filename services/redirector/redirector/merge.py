"""Merge: which tasks need not run, because an equal one is going to or a stronger one overtakes them."""

from schema.operations import (
    Operation,
    PciCheckState,
    VbdCheckState,
    VifCheckState,
    VmCheckState,
    VmPoweroff,
    VmReboot,
    VmShutdown,
    VusbCheckState,
)

_CHECKS = (VmCheckState, VbdCheckState, VifCheckState, PciCheckState, VusbCheckState)


def coalesces(operation: Operation) -> bool:
    """Whether one run of it serves all equal ones that wait: it only looks and puts right."""
    return isinstance(operation, _CHECKS)


def is_forced_power_off(operation: Operation) -> bool:
    """Whether it ends the VM without asking the guest."""
    return isinstance(operation, VmPoweroff | VmShutdown) and operation.timeout_s is None


def is_clean_stop(operation: Operation) -> bool:
    """Whether it asks the guest and waits for it: what a forced power-off makes pointless."""
    return isinstance(operation, VmPoweroff | VmShutdown | VmReboot) and operation.timeout_s is not None
