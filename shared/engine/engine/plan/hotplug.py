"""Hotplug: one device of a VM that runs, or is about to."""

from schema.atomics.vbd import VbdPlug, VbdSetActive, VbdUnplug
from schema.atomics.vif import VifPlug, VifSetActive, VifUnplug
from schema.operations import VbdHotplug, VbdHotunplug, VifHotplug, VifHotunplug

from engine.plan.groups import Steps, do

Hotplug = VbdHotplug | VbdHotunplug | VifHotplug | VifHotunplug
"""An operation on one device."""


def hotplug(operation: Hotplug) -> Steps:
    """Active before it is plugged, and until it is unplugged."""
    match operation:
        case VbdHotplug(id=vbd):
            return do(VbdSetActive(id=vbd, active=True), VbdPlug(id=vbd))
        case VbdHotunplug(id=vbd, force=force):
            return do(VbdUnplug(id=vbd, force=force), VbdSetActive(id=vbd, active=False))
        case VifHotplug(id=vif):
            return do(VifSetActive(id=vif, active=True), VifPlug(id=vif))
        case VifHotunplug(id=vif, force=force):
            return do(VifUnplug(id=vif, force=force), VifSetActive(id=vif, active=False))
