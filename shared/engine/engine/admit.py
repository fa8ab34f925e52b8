"""Admission: from which power states an operation may begin, asked when it is executed.

The state may well have changed since the operation was queued. Operations on a VM that is already as they
would leave it run all the same, for every verb is idempotent; only those below are particular.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schema.objects.errors import BadPowerState
from schema.objects.vm import PowerState
from schema.operations import Operation, OperationBase, VmReboot, VmResume, VmStart


@dataclass(frozen=True, slots=True)
class Run:
    """It may begin."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """It may not; the task fails with `error`, and no check is owed, for nothing was touched."""

    error: BadPowerState


Admission = Run | Refuse
"""What is decided."""

_BEGINS_FROM: Mapping[type[OperationBase], tuple[PowerState, ...]] = {
    VmStart: (PowerState.HALTED,),
    VmReboot: (PowerState.RUNNING, PowerState.PAUSED),
    # A backend may be unable to tell that a VM was suspended long ago.
    VmResume: (PowerState.SUSPENDED, PowerState.HALTED),
}
"""The first state of each is the one that an error names as expected; as in the original."""


def admit(operation: Operation, power_state: PowerState) -> Admission:
    """Whether `operation` may begin now.

    A start of a running VM is refused as the running original refuses it (its golden task 35), although
    the code behind the guard would have let it pass as done.
    """
    begins_from = _BEGINS_FROM.get(type(operation))
    if begins_from is None or power_state in begins_from:
        return Run()
    return Refuse(BadPowerState(found=power_state, expected=begins_from[0]))
