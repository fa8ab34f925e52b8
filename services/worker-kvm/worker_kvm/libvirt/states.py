"""States: what a client is told of a VM on libvirt and its devices."""

from pathlib import Path

from engine.domain_type import domain_type
from schema.objects.halted import HALTED_VM
from schema.objects.vm import Console, ConsoleProtocol, Hvm, PowerState, VmState

from worker_kvm.clock import shown
from worker_kvm.libvirt.machine import Domain, Machine, Stage
from worker_kvm.qemu.guest_agent import Told, agent_keys
from worker_kvm.watched import Seen, Status


def vm_state(machine: Machine, seen: Seen | None, console: Path, told: Told | None = None) -> VmState:
    """The VM; of one without a domain: Halted or Suspended, all else empty. `seen` is None before it runs.

    One whose guest has ended counts as running until that has been dealt with, as in the original.
    """
    domain = machine.domain
    if domain is None:
        state = PowerState.SUSPENDED if machine.suspended else PowerState.HALTED
        return HALTED_VM.model_copy(update={"power_state": state})
    vm = domain.vm
    return HALTED_VM.model_copy(
        update={
            "power_state": _power_state(machine, seen),
            "domids": (domain.domid,),
            "consoles": _consoles(domain, console) if domain.stage is Stage.LAUNCHED else (),
            "memory_target": domain.memory_target_bytes,
            "memory_actual": 0 if seen is None else seen.memory_bytes,
            "memory_limit": vm.memory_static_max,
            "vcpu_target": domain.vcpus,
            "guest_agent": agent_keys(told, [nic.vif for nic in domain.nics]),
            "pv_drivers_detected": told is not None,  # its agent is behind one
            "rtc_timeoffset": shown(vm, domain.clock_s),
            "last_start_time": domain.created_at,
            "hvm": isinstance(vm.ty, Hvm),
            "domain_type": domain_type(vm),
        }
    )


def _power_state(machine: Machine, seen: Seen | None) -> PowerState:
    if machine.suspended:
        return PowerState.SUSPENDED
    return PowerState.PAUSED if seen is None or seen.status is Status.PAUSED else PowerState.RUNNING


def _consoles(domain: Domain, console: Path) -> tuple[Console, ...]:
    """Sockets of this host: the path is one to connect to, and the port none."""
    text = Console(protocol=ConsoleProtocol.VT100, port=0, path=str(console))
    if domain.screen is None:
        return (text,)
    return (Console(protocol=ConsoleProtocol.RFB, port=0, path=domain.screen), text)
