"""Devices: all that a domain that is restored is to have from its beginning."""

from collections.abc import Mapping

from engine.backend import Devices
from engine.hosted.machine import Source
from schema.ids import DeviceId

from worker_xen.xenlight.machine import Machine, attached, plugged


def with_devices(machine: Machine, devices: Devices, sources: Mapping[DeviceId, Source]) -> Machine:
    """With all that the domain is to have from its beginning; `sources` are where its disks are, open."""
    for vbd in devices.vbds:
        machine = attached(machine, vbd, sources.get(vbd.id))
        disk = machine.disk(vbd.id)
        if disk is not None:
            machine = machine.with_disk(disk.model_copy(update={"activated": True}))
    for vif in devices.vifs:
        machine = plugged(machine, vif)
    return machine.with_domain(built=True)
