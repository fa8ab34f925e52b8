"""States: what a client is told of a VM under libxl and its devices."""

from typing import Final

from engine.domain_type import domain_type
from engine.halted import HALTED_VM, UNPLUGGED_VBD, UNPLUGGED_VIF
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId
from schema.objects.vbd import VbdState
from schema.objects.vif import VifState
from schema.objects.vm import Console, ConsoleProtocol, Hvm, PowerState, VmState

from worker_xen.xenlight.machine import Domain, Machine, find_disk, find_nic
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


def action_request(machine: Machine, info: DomainInfo | None) -> DomainAction | None:
    """What a VM's domain asks for; one that is gone, for its poweroff."""
    if machine.domain is None:
        return DomainAction.POWEROFF
    if info is not None and info.reason is not None and not machine.domain.saved:
        return _ASKED_BY.get(info.reason, DomainAction.POWEROFF)
    return machine.domain.action


def vm_state(machine: Machine, info: DomainInfo | None, console: str | None) -> VmState:
    """The VM; of one without a domain: Halted or Suspended, all else empty. `info` is None before Xen has it.

    One whose guest has ended counts as running until that has been dealt with, as in the original.
    """
    domain = machine.domain
    if domain is None:
        power = PowerState.SUSPENDED if machine.suspended else PowerState.HALTED
        return HALTED_VM.model_copy(update={"power_state": power})
    vm = domain.vm
    text = () if console is None else (Console(protocol=ConsoleProtocol.VT100, port=0, path=console),)
    return HALTED_VM.model_copy(
        update={
            "power_state": _power_state(domain, info),
            "domids": () if domain.domid is None else (domain.domid,),
            "consoles": text,
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


def _power_state(domain: Domain, info: DomainInfo | None) -> PowerState:
    if domain.saved:
        return PowerState.SUSPENDED
    return PowerState.PAUSED if info is None or info.paused else PowerState.RUNNING


def vbd_state(machine: Machine, id_: DeviceId) -> VbdState:
    """A disk; its backend is shown while it is plugged."""
    active = f"vbd.{id_.device}" in machine.active
    disk = find_disk(machine, id_)
    if disk is None or not disk.activated:
        return UNPLUGGED_VBD.model_copy(update={"active": active})
    return VbdState(active=active, plugged=True, backend_present=disk.vbd.backend)


def vif_state(machine: Machine, id_: DeviceId) -> VifState:
    """An interface; `device` is its end in dom0."""
    active = f"vif.{id_.device}" in machine.active
    nic = find_nic(machine, id_)
    if nic is None or machine.domain is None:
        return UNPLUGGED_VIF.model_copy(update={"active": active})
    domid = machine.domain.domid
    return VifState(
        active=active,
        plugged=True,
        kthread_pid=0,
        media_present=nic.vif.carrier,
        device=None if domid is None else f"vif{domid}.{nic.vif.position}",
        pvs_rules_active=False,
    )
