"""States: what a client is told of a VM under libxl and its devices."""

from typing import Final

from engine.domain_type import domain_type
from schema.atomics.vm import DomainAction
from schema.objects.halted import HALTED_VM
from schema.objects.vm import Console, ConsoleProtocol, Hvm, PowerState, VmState

from worker_xen.xenlight.machine import Domain, Machine
from worker_xen.xenlight.values import DomainInfo

_ASKED_BY: Final = {
    "poweroff": DomainAction.POWEROFF,
    "reboot": DomainAction.REBOOT,
    "suspend": DomainAction.SUSPEND,
    "crash": DomainAction.CRASHDUMP,
    "watchdog": DomainAction.CRASHDUMP,
    "soft_reset": DomainAction.SOFTRESET,
}
"""What a domain asks for, by why its guest has ended."""

_PORTS = 1 << 16


def action_request(machine: Machine, info: DomainInfo | None) -> DomainAction | None:
    """What a VM's domain asks for; one that is gone, for its poweroff."""
    if machine.domain is None:
        return DomainAction.POWEROFF
    if info is not None and info.reason is not None and not machine.domain.saved:
        return _ASKED_BY.get(info.reason, DomainAction.POWEROFF)
    return machine.domain.action


def vm_state(
    machine: Machine, info: DomainInfo | None, console: str | None, screen: int | None = None
) -> VmState:
    """The VM; of one without a domain: Halted or Suspended, all else empty. `info` is None before Xen has it.

    `console` is a terminal's path, `screen` the port where VNC shows an HVM guest's picture. One whose guest
    has ended counts as running until that has been dealt with, as in the original.
    """
    domain = machine.domain
    if domain is None:
        power = PowerState.SUSPENDED if machine.suspended else PowerState.HALTED
        return HALTED_VM.model_copy(update={"power_state": power})
    vm = domain.vm
    picture = () if screen is None else (Console(protocol=ConsoleProtocol.RFB, port=screen, path=""),)
    text = () if console is None else (Console(protocol=ConsoleProtocol.VT100, port=0, path=console),)
    return HALTED_VM.model_copy(
        update={
            "power_state": _power_state(domain, info),
            "domids": () if domain.domid is None else (domain.domid,),
            "consoles": (*picture, *text),
            "memory_target": domain.memory_target_bytes,
            "memory_actual": 0 if info is None else info.memory_bytes,
            "memory_limit": vm.memory_static_max,
            "vcpu_target": domain.vcpus,
            "rtc_timeoffset": vm.ty.info.timeoffset if isinstance(vm.ty, Hvm) else "",
            "last_start_time": domain.created_at,
            "hvm": isinstance(vm.ty, Hvm),
            "domain_type": domain_type(vm),
        }
    )


def port_of(text: str | None) -> int | None:
    """A port as xenstore has it; None: there is none, or it is no number."""
    return int(text) if text is not None and text.isdecimal() and 0 < int(text) < _PORTS else None


def _power_state(domain: Domain, info: DomainInfo | None) -> PowerState:
    if domain.saved:
        return PowerState.SUSPENDED
    return PowerState.PAUSED if info is None or info.paused else PowerState.RUNNING
