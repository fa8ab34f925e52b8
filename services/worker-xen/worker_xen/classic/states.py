"""States: what a client is told of a VM on Xen and its devices."""

from dataclasses import dataclass

from engine.domain_type import domain_type
from schema.atomics.vm import DomainAction
from schema.objects.halted import HALTED_VM
from schema.objects.vm import Console, ConsoleProtocol, Hvm, PowerState, VmState

from worker_xen.classic.machine import Domain, Machine, Suspended
from worker_xen.classic.nature import FEATURESET
from worker_xen.libxc.values import DomainInfo, ShutdownReason

_ASKS = {
    ShutdownReason.REBOOT: DomainAction.REBOOT,
    ShutdownReason.SUSPEND: DomainAction.SUSPEND,
    ShutdownReason.CRASH: DomainAction.CRASHDUMP,
    ShutdownReason.WATCHDOG: DomainAction.CRASHDUMP,
    ShutdownReason.SOFT_RESET: DomainAction.SOFTRESET,
}


_UNTOLD = -1
"""Of how many NUMA nodes a domain's memory is: Xen does not tell, and this is the original's word for it."""


@dataclass(frozen=True, slots=True)
class Said:
    """What stands in xenstore of a domain."""

    console: str = ""
    guest_agent: tuple[tuple[str, str], ...] = ()
    xsdata: tuple[tuple[str, str], ...] = ()
    is_uncooperative: bool = False
    screen: str | None = None
    """The socket of a picture."""


def vm_state(machine: Machine, info: DomainInfo | None, said: Said) -> VmState:
    """The VM; of one without a domain: Halted, or Suspended, all else empty.

    One whose guest has ended counts as running until that has been dealt with, as in the original.
    """
    if machine.suspended is not None:
        return _suspended(machine.suspended)
    domain = machine.domain
    if domain is None or info is None:
        return HALTED_VM
    vm = domain.vm
    return HALTED_VM.model_copy(
        update={
            "power_state": PowerState.PAUSED if info.is_paused else PowerState.RUNNING,
            "domids": (info.domid,),
            "consoles": _consoles(said),
            "memory_target": domain.memory_target_bytes,
            "memory_actual": info.memory_bytes,
            "memory_limit": info.memory_bytes_max,
            "vcpu_target": domain.vcpus,
            "uncooperative_balloon_driver": said.is_uncooperative,
            "guest_agent": said.guest_agent,
            "xsdata_state": said.xsdata,
            "pv_drivers_detected": dict(said.guest_agent).get("attr/PVAddons/Installed") == "1",
            "rtc_timeoffset": vm.ty.info.timeoffset if isinstance(vm.ty, Hvm) else "",
            "last_start_time": domain.created_at,
            "hvm": isinstance(vm.ty, Hvm),
            "domain_type": domain_type(vm),
            "featureset": dict(vm.platformdata).get(FEATURESET, ""),
            "numa_nodes": _UNTOLD,
        }
    )


def _consoles(said: Said) -> tuple[Console, ...]:
    text = Console(protocol=ConsoleProtocol.VT100, port=0, path=said.console)
    if said.screen is None:
        return (text,)
    return (Console(protocol=ConsoleProtocol.RFB, port=0, path=said.screen), text)


def action_request(domain: Domain | None, info: DomainInfo | None) -> DomainAction | None:
    """What a domain asks for: by how it stopped; else what was noted for the case."""
    if domain is None or info is None:
        return DomainAction.POWEROFF
    if info.stopped is None:
        return domain.action
    return next((action for reason, action in _ASKS.items() if reason == info.stopped), DomainAction.POWEROFF)


def _suspended(remains: Suspended) -> VmState:
    return HALTED_VM.model_copy(
        update={
            "power_state": PowerState.SUSPENDED,
            "domids": (remains.domid,),
            "vcpu_target": remains.vcpus,
            "last_start_time": remains.created_at,
        }
    )
