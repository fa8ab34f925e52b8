"""Devices: all that a domain that is restored is to have from its beginning."""

from engine.backend import Devices

from worker_xen.xenlight.content import find_source
from worker_xen.xenlight.machine import Machine, attached, plugged


def with_devices(machine: Machine, devices: Devices) -> Machine:
    """With all that the domain is to have from its beginning."""
    for vbd in devices.vbds:
        source = None if vbd.backend is None else find_source(vbd, vbd.backend)
        machine = attached(machine, vbd, source)
        disk = machine.disk(vbd.id)
        if disk is not None:
            machine = machine.with_disk(disk.model_copy(update={"activated": True}))
    for vif in devices.vifs:
        machine = plugged(machine, vif)
    return machine.with_domain(built=True)
