"""View: all that planning may know of one VM, gathered before it plans."""

from dataclasses import dataclass
from enum import StrEnum

from schema.atomics.vm import DomainAction
from schema.objects.vm import PowerState, Vm

from engine.backend import Devices


class DeviceRequest(StrEnum):
    """What a device asks its manager to do."""

    UNPLUG = "Needs_unplug"
    SET_QOS = "Needs_set_qos"


@dataclass(frozen=True, slots=True)
class Situation:
    """What the backend said of the VM just now; only checks plan by it.

    `domain_asks` is asked for a check of the VM only. `device_asks` speaks of the one device that the checked
    operation is about; it needs to be asked only while the VM runs. `run_time_s` is the time since the VM was
    last started.
    """

    power_state: PowerState = PowerState.HALTED
    domain_asks: DomainAction | None = None
    device_asks: DeviceRequest | None = None
    run_time_s: float = 0.0
    minimum_reboot_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class VmView:
    """A VM and its devices as configured, and how it is."""

    vm: Vm
    devices: Devices
    situation: Situation = Situation()
