"""Allowed operations: what XenAPI's clients may ask of a VM in its power state.

The power states are from xapi, xapi_vm_lifecycle.ml (allowed_power_states). While an operation is under way
nothing else is allowed: xapi's table of what may run beside what is its own affair.
"""

from collections.abc import Mapping

from xenops.toolstack.records import PowerState

_H, _P, _R, _S = PowerState.HALTED, PowerState.PAUSED, PowerState.RUNNING, PowerState.SUSPENDED
_ALL = frozenset(PowerState)

_STATES: Mapping[str, frozenset[PowerState]] = {
    "start": frozenset({_H}),
    "start_on": frozenset({_H}),
    "make_into_template": frozenset({_H}),
    "changing_VCPUs": frozenset({_H}),
    "changing_static_range": frozenset({_H}),
    "changing_memory_limits": frozenset({_H}),
    "changing_shadow_memory": frozenset({_H}),
    "changing_NVRAM": frozenset({_H}),
    "create_vtpm": frozenset({_H}),
    "clone": frozenset({_H}),
    "copy": frozenset({_H}),
    "destroy": frozenset({_H, _S}),
    "export": frozenset({_H, _S}),
    "changing_dynamic_range": frozenset({_H, _R}),
    "pause": frozenset({_R}),
    "unpause": frozenset({_P}),
    "clean_reboot": frozenset({_R}),
    "clean_shutdown": frozenset({_R}),
    "hard_reboot": frozenset({_P, _R}),
    "hard_shutdown": frozenset({_P, _S, _R}),
    "checkpoint": frozenset({_P, _S, _R}),
    "suspend": frozenset({_R}),
    "resume": frozenset({_S}),
    "resume_on": frozenset({_S}),
    "pool_migrate": frozenset({_R}),
    "migrate_send": frozenset({_H, _S, _R}),
    "changing_memory_live": frozenset({_R}),
    "changing_VCPUs_live": frozenset({_R}),
    "changing_shadow_memory_live": frozenset({_R}),
    "send_sysrq": frozenset({_R}),
    "send_trigger": frozenset({_R}),
    "snapshot": _ALL,
    "metadata_export": _ALL,
}


def allowed_operations(power_state: PowerState, current: Mapping[str, str]) -> list[str]:
    """The operations that may begin now, by name."""
    if current:
        return []
    return sorted(operation for operation, states in _STATES.items() if power_state in states)
