"""States: what a client is told of a VM on QEMU and its devices."""

from engine.domain_type import domain_type
from schema.objects.halted import HALTED_VM
from schema.objects.vm import (
    Console,
    ConsoleProtocol,
    Hvm,
    PowerState,
    VmState,
)

from worker_kvm.clock import shown
from worker_kvm.qemu.command import Sockets, has_screen
from worker_kvm.qemu.guest_agent import Told, agent_keys
from worker_kvm.qemu.machine import Domain, Machine
from worker_kvm.watched import Seen, Status


def vm_state(machine: Machine, seen: Seen | None, sockets: Sockets, told: Told | None = None) -> VmState:
    """The VM; of one without a domain: Halted, or Suspended, all else empty. `seen`: None before QEMU runs.

    One whose guest has ended counts as running until that has been dealt with, as in the original.
    """
    domain = machine.domain
    if machine.suspended is not None:
        return _suspended(domain or machine.suspended)
    if domain is None:
        return HALTED_VM
    vm = domain.vm
    is_paused = seen is None or seen.status is Status.PAUSED
    return HALTED_VM.model_copy(
        update={
            "power_state": PowerState.PAUSED if is_paused else PowerState.RUNNING,
            "domids": (domain.domid,),
            "consoles": () if domain.process is None else _consoles(domain, sockets),
            "memory_target": domain.memory_target_bytes,
            "memory_actual": 0 if seen is None else seen.memory_bytes,
            "memory_limit": vm.memory_static_max,
            "vcpu_target": vm.vcpus,
            "guest_agent": agent_keys(told, [nic.vif for nic in domain.nics]),
            "pv_drivers_detected": told is not None,  # its agent is behind one
            "rtc_timeoffset": shown(vm, domain.clock_s),
            "last_start_time": domain.created_at,
            "hvm": isinstance(vm.ty, Hvm),
            "domain_type": domain_type(vm),
        }
    )


def _suspended(domain: Domain) -> VmState:
    """As the original shows one: the domain's number and start remain."""
    return HALTED_VM.model_copy(
        update={
            "power_state": PowerState.SUSPENDED,
            "domids": (domain.domid,),
            "vcpu_target": domain.vm.vcpus,
            "last_start_time": domain.created_at,
        }
    )


def _consoles(domain: Domain, sockets: Sockets) -> tuple[Console, ...]:
    """Sockets of this host: the path is one to connect to, and the port none."""
    text = Console(protocol=ConsoleProtocol.VT100, port=0, path=str(sockets.console))
    if not has_screen(domain.vm, domain.kind):
        return (text,)
    return (Console(protocol=ConsoleProtocol.RFB, port=0, path=str(sockets.screen)), text)
