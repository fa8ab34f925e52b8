"""Promises: what docs/walkthroughs/vm-start.md says of a VM that was started, held against its state."""

from dataclasses import dataclass

from schema.objects.vbd import Vbd, VbdState
from schema.objects.vif import Vif, VifState
from schema.objects.vm import PowerState, Vm, VmState

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """A VM and its devices, as the service shows them."""

    vm: Vm
    state: VmState
    vbds: tuple[tuple[Vbd, VbdState], ...]
    vifs: tuple[tuple[Vif, VifState], ...]


@dataclass(frozen=True, slots=True)
class Promise:
    """What was promised, in words that name what is there, and whether it is so."""

    words: str
    kept: bool


def promises(seen: Seen, power_state: PowerState) -> tuple[Promise, ...]:
    """All that is promised of a VM from its start to its end, in this power state."""
    state, vm = seen.state, seen.vm
    vbds = [now.active and now.plugged for _, now in seen.vbds]
    vifs = [now.active and now.plugged for _, now in seen.vifs]
    memory = f"memory target {state.memory_target // _MIB} MiB, vCPU target {state.vcpu_target}"
    consoles = ", ".join(console.protocol for console in state.consoles) or "none"
    return (
        Promise(f"power state {state.power_state}", state.power_state is power_state),
        Promise(f"one domain id: {', '.join(map(str, state.domids)) or 'none'}", len(state.domids) == 1),
        Promise(f"VBDs active and plugged: {sum(vbds)} of {len(vbds)}", bool(vbds) and all(vbds)),
        Promise(f"VIFs active and plugged: {sum(vifs)} of {len(vifs)}", bool(vifs) and all(vifs)),
        Promise(f"an active console: {consoles}", bool(state.consoles)),
        Promise("a start time", state.last_start_time > 0),
        Promise(memory, state.memory_target == vm.memory_dynamic_max and state.vcpu_target == vm.vcpus),
    )
