"""Ending: what a guest wants that has ended, by libvirt's event, and by its log of QEMU.

Libvirt tells a reboot from a poweroff to nobody. QEMU traces in that log what a guest asks for, but for a
reset, which we have made a shutdown: that leaves none.
"""

import re

from schema.atomics.vm import DomainAction
from virt.values import How

from worker_kvm.qemu.ending import traced_action

_START = "starting up libvirt"
"""What libvirt writes before a domain starts: before it is another life of the VM."""

_REASON = re.compile(r"shutting down, reason=(\w+)")
"""What it writes when a domain is gone."""

_HOW = {
    "shutdown": How.SHUT_DOWN,
    "destroyed": How.DESTROYED,
    "saved": How.SAVED,
    "crashed": How.CRASHED,
    "failed": How.CRASHED,
}


def action_after(how: How | None, log: str) -> DomainAction:
    """What a domain asks for that ended so; None: nobody listened, and it is gone."""
    _, start, life = log.rpartition(_START)
    reasons = _REASON.findall(life)
    if how is None and reasons:
        how = _HOW.get(reasons[-1])
    match how:
        case How.SHUT_DOWN:
            return traced_action(life, DomainAction.REBOOT if start else DomainAction.POWEROFF)
        case How.DESTROYED | How.SAVED:
            return DomainAction.POWEROFF
        case How.CRASHED:
            return DomainAction.CRASHDUMP
        case None:
            return traced_action(life, DomainAction.CRASHDUMP)
