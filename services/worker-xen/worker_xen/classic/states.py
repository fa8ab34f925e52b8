"""States: what a client is told of a VM on Xen and its devices."""

from dataclasses import dataclass

from engine.domain_type import domain_type
from engine.halted import HALTED_VM, UNPLUGGED_VBD, UNPLUGGED_VIF
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId
from schema.objects.vbd import VbdState
from schema.objects.vif import VifState
from schema.objects.vm import Console, ConsoleProtocol, Hvm, PowerState, VmState

from worker_xen.classic.machine import Domain, Machine, Suspended, find_disk, find_nic
from worker_xen.libxc.values import DomainInfo, ShutdownReason
from worker_xen.xenstore.devices import interface_name

_ASKS = {
    ShutdownReason.REBOOT: DomainAction.REBOOT,
    ShutdownReason.SUSPEND: DomainAction.SUSPEND,
    ShutdownReason.CRASH: DomainAction.CRASHDUMP,
    ShutdownReason.WATCHDOG: DomainAction.CRASHDUMP,
    ShutdownReason.SOFT_RESET: DomainAction.SOFTRESET,
}


@dataclass(frozen=True, slots=True)
class Said:
    """What stands in xenstore of a domain."""

    console: str = ""
    guest_agent: tuple[tuple[str, str], ...] = ()
    xsdata: tuple[tuple[str, str], ...] = ()
    is_uncooperative: bool = False


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
            "consoles": (Console(protocol=ConsoleProtocol.VT100, port=0, path=said.console),),
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
        }
    )


def action_request(domain: Domain | None, info: DomainInfo | None) -> DomainAction | None:
    """What a domain asks for: by how it stopped; else what was noted for the case."""
    if domain is None or info is None:
        return DomainAction.POWEROFF
    if info.stopped is None:
        return domain.action
    return next((action for reason, action in _ASKS.items() if reason == info.stopped), DomainAction.POWEROFF)


def vbd_state(machine: Machine, id_: DeviceId, *, has_domain: bool) -> VbdState:
    """A disk; its backend is shown while it is plugged."""
    active = f"vbd.{id_.device}" in machine.active
    disk = find_disk(machine, id_)
    if disk is None or not disk.activated or not has_domain:
        return UNPLUGGED_VBD.model_copy(update={"active": active})
    return VbdState(active=active, plugged=True, backend_present=disk.vbd.backend)


def vif_state(machine: Machine, id_: DeviceId, domid: int | None) -> VifState:
    """An interface; `device` is its other end in the control domain."""
    active = f"vif.{id_.device}" in machine.active
    nic = find_nic(machine, id_)
    if nic is None or domid is None:
        return UNPLUGGED_VIF.model_copy(update={"active": active})
    return VifState(
        active=active,
        plugged=True,
        kthread_pid=0,
        media_present=nic.vif.carrier,
        device=interface_name(domid, nic.vif.position),
        pvs_rules_active=False,
    )


def _suspended(remains: Suspended) -> VmState:
    return HALTED_VM.model_copy(
        update={
            "power_state": PowerState.SUSPENDED,
            "domids": (remains.domid,),
            "vcpu_target": remains.vcpus,
            "last_start_time": remains.created_at,
        }
    )
