"""States: what a client is told of the devices of a VM on a host."""

from typing import Any

from schema.ids import DeviceId
from schema.objects.halted import UNPLUGGED_VBD, UNPLUGGED_VIF
from schema.objects.vbd import VbdState
from schema.objects.vif import VifState

from engine.hosted.machine import HostedMachine


def vbd_state(machine: HostedMachine[Any, Any, Any], id_: DeviceId) -> VbdState:
    """A disk; its backend is shown while it is plugged."""
    active, disk = machine.is_active("vbd", id_), machine.disk(id_)
    if disk is None or not disk.activated:
        return UNPLUGGED_VBD.model_copy(update={"active": active})
    return VbdState(active=active, plugged=True, backend_present=disk.vbd.backend)


def vif_state(machine: HostedMachine[Any, Any, Any], id_: DeviceId, device: str | None) -> VifState:
    """An interface, if it has one; `device` is the name of its end on the host."""
    active, nic = machine.is_active("vif", id_), machine.nic(id_)
    if nic is None:
        return UNPLUGGED_VIF.model_copy(update={"active": active})
    return VifState(
        active=active,
        plugged=True,
        kthread_pid=0,
        media_present=nic.vif.carrier,
        device=device,
        pvs_rules_active=False,
    )
