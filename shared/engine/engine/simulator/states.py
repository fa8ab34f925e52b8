"""States: what a client is told of a simulated machine and its devices."""

from schema.ids import DeviceId
from schema.objects.halted import HALTED_VM, UNPLUGGED_VBD, UNPLUGGED_VIF
from schema.objects.vbd import VbdState
from schema.objects.vgpu import VgpuState
from schema.objects.vif import VifState
from schema.objects.vm import (
    Console,
    ConsoleProtocol,
    Hvm,
    PowerState,
    Vm,
    VmState,
)

from engine.domain_type import domain_type
from engine.holding import find
from engine.simulator.machine import Domain, Machine

_VNC_PORT_MIN = 5900
_VNC_PORTS = 10_000


def vm_state(machine: Machine, vm: Vm, *, starts_paused: bool) -> VmState:
    """The VM; of one without a domain: Halted, all else empty. Not yet unpaused, it is as `starts_paused`."""
    if machine.suspended is not None:
        return _suspended(machine.domain or machine.suspended)
    if machine.domain is None:
        return HALTED_VM
    if machine.domain.suspended:
        return _suspended(machine.domain)
    is_paused = machine.domain.paused and (starts_paused or machine.held)
    return _living(machine.domain, vm, PowerState.PAUSED if is_paused else PowerState.RUNNING)


def _suspended(domain: Domain) -> VmState:
    """As the original simulator shows one: the domain's number and start remain."""
    return HALTED_VM.model_copy(
        update={
            "power_state": PowerState.SUSPENDED,
            "domids": (domain.domid,),
            "vcpu_target": domain.vcpus,
            "last_start_time": domain.last_create_time,
        }
    )


def _living(domain: Domain, vm: Vm, power_state: PowerState) -> VmState:
    return HALTED_VM.model_copy(
        update={
            "power_state": power_state,
            "domids": (domain.domid,),
            "consoles": _consoles(domain),
            "memory_target": domain.memory_dynamic_max,
            "memory_actual": domain.memory_dynamic_max,
            "memory_limit": vm.memory_static_max,
            "vcpu_target": domain.vcpus,
            "shadow_multiplier_target": domain.shadow_multiplier,
            "rtc_timeoffset": vm.ty.info.timeoffset if isinstance(vm.ty, Hvm) else "",
            "xsdata_state": domain.xsdata,
            "last_start_time": domain.last_create_time,
            "hvm": domain.hvm,
            "domain_type": domain_type(vm),
        }
    )


def _consoles(domain: Domain) -> tuple[Console, ...]:
    """A text console, and a screen once there is a device model."""
    path = f"/local/domain/{domain.domid}"
    text = Console(protocol=ConsoleProtocol.VT100, port=0, path=f"{path}/console")
    if not domain.qemu_created:
        return (text,)
    port = _VNC_PORT_MIN + domain.domid % _VNC_PORTS
    return (Console(protocol=ConsoleProtocol.RFB, port=port, path=f"{path}/vnc"), text)


def vbd_state(machine: Machine, id_: DeviceId) -> VbdState:
    """A disk; its backend is shown while it is plugged."""
    name = f"vbd.{id_[1]}"
    active = name in machine.active
    vbd = find(machine.devices().vbds, id_)
    if vbd is None or name not in machine.activated:
        return UNPLUGGED_VBD.model_copy(update={"active": active})
    return VbdState(active=active, plugged=True, backend_present=vbd.backend)


def vif_state(machine: Machine, id_: DeviceId) -> VifState:
    """An interface."""
    active = f"vif.{id_[1]}" in machine.active
    vif = find(machine.devices().vifs, id_)
    if vif is None or machine.domain is None:
        return UNPLUGGED_VIF.model_copy(update={"active": active})
    return VifState(
        active=active,
        plugged=True,
        kthread_pid=0,
        media_present=vif.carrier,
        device=f"vif{machine.domain.domid}.{vif.position}",
        pvs_rules_active=vif.pvs_proxy is not None,
    )


def vgpu_state(machine: Machine, id_: DeviceId) -> VgpuState:
    """A virtual GPU."""
    return VgpuState(
        active=f"vgpu.{id_[1]}" in machine.active,
        plugged=find(machine.devices().vgpus, id_) is not None,
    )
