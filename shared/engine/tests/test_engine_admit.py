"""Which operations may begin from which power states."""

import pytest
from engine.admit import Admission, Refuse, Run, admit
from schema.ids import DeviceId, VmId
from schema.objects.disk import Vdi
from schema.objects.errors import BadPowerState
from schema.objects.vm import PowerState
from schema.operations import Operation, VbdHotplug, VmCheckState, VmReboot, VmResume, VmShutdown, VmStart

VM = VmId("vm")
START = VmStart(vm=VM)
REBOOT = VmReboot(vm=VM)
RESUME = VmResume(vm=VM, image=Vdi(name="image"))

HALTED, RUNNING = PowerState.HALTED, PowerState.RUNNING
PAUSED, SUSPENDED = PowerState.PAUSED, PowerState.SUSPENDED


def refused(found: PowerState, expected: PowerState) -> Refuse:
    return Refuse(BadPowerState(found=found, expected=expected))


@pytest.mark.parametrize(
    ("operation", "power_state", "admission"),
    [
        (START, HALTED, Run()),
        (START, RUNNING, refused(RUNNING, HALTED)),
        (START, PAUSED, refused(PAUSED, HALTED)),
        (START, SUSPENDED, refused(SUSPENDED, HALTED)),
        (REBOOT, HALTED, refused(HALTED, RUNNING)),
        (REBOOT, RUNNING, Run()),
        (REBOOT, PAUSED, Run()),
        (REBOOT, SUSPENDED, refused(SUSPENDED, RUNNING)),
        (RESUME, HALTED, Run()),
        (RESUME, RUNNING, refused(RUNNING, SUSPENDED)),
        (RESUME, PAUSED, refused(PAUSED, SUSPENDED)),
        (RESUME, SUSPENDED, Run()),
    ],
)
def test_start_reboot_and_resume_begin_only_from_their_states(
    operation: Operation, power_state: PowerState, admission: Admission
) -> None:
    assert admit(operation, power_state) == admission


@pytest.mark.parametrize("power_state", PowerState)
@pytest.mark.parametrize(
    "operation", [VmShutdown(vm=VM), VmCheckState(vm=VM), VbdHotplug(id=DeviceId("vm", "xvda"))]
)
def test_every_other_operation_begins_from_any_state(operation: Operation, power_state: PowerState) -> None:
    assert admit(operation, power_state) == Run()
