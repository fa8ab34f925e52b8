"""Errors of xenops in XenAPI's words."""

from typing import Any, get_args

import pytest
from schema.objects import errors
from schema.objects.errors import Error
from schema.objects.vm import PowerState
from xenops.toolstack.translated import failure_of

SAMPLES: dict[Any, Any] = {
    str: "x",
    int: 5,
    float: 1.5,
    tuple[str, ...]: ("a", "b"),
    PowerState: PowerState.HALTED,
}


def arms() -> list[type[Any]]:
    return list(get_args(get_args(Error)[0]))


@pytest.mark.parametrize("arm", arms())
def test_every_error_has_a_code_and_its_parameters(arm: type[Any]) -> None:
    fields = {name: SAMPLES[field.annotation] for name, field in arm.model_fields.items() if name != "kind"}
    failure = failure_of(arm(**fields), "OpaqueRef:vm", lambda uuid: f"OpaqueRef:{uuid}")
    assert failure.code == (failure.code.upper() if arm is not errors.StorageBackendError else "x")
    assert all(isinstance(param, str) for param in failure.params)


@pytest.mark.parametrize(
    ("error", "code", "params"),
    [
        (
            errors.BadPowerState(found=PowerState.HALTED, expected=PowerState.RUNNING),
            "VM_BAD_POWER_STATE",
            ("OpaqueRef:vm", "Running", "Halted"),
        ),
        (errors.FailedToShutdown(vm="u", timeout_s=2.0), "VM_SHUTDOWN_TIMEOUT", ("OpaqueRef:u", "2.0")),
        (errors.FailedToAcknowledgeSuspendRequest(), "VM_FAILED_SUSPEND_ACKNOWLEDGMENT", ("OpaqueRef:vm",)),
        (
            errors.VmsFailedToCooperate(vms=("a", "b")),
            "VMS_FAILED_TO_COOPERATE",
            ("OpaqueRef:a", "OpaqueRef:b"),
        ),
        (
            errors.StorageBackendError(code="SR_BACKEND_FAILURE_44", args=("x",)),
            "SR_BACKEND_FAILURE_44",
            ("x",),
        ),
    ],
)
def test_an_error_is_known_by_its_code(error: Error, code: str, params: tuple[str, ...]) -> None:
    failure = failure_of(error, "OpaqueRef:vm", lambda uuid: f"OpaqueRef:{uuid}")
    assert (failure.code, failure.params) == (code, params)
