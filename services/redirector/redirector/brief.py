"""Brief: the little that a redirector keeps of an operation, so that a million of them fit into memory."""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from schema.atomics.vm import VmImportMetadata, VmRemove
from schema.ids import VmId
from schema.migration import departing_id
from schema.operations import (
    AtomicOperation,
    Operation,
    PciCheckState,
    VbdCheckState,
    VbdHotplug,
    VbdHotunplug,
    VifCheckState,
    VifHotplug,
    VifHotunplug,
    VmCheckState,
    VmMigrate,
    VmPoweroff,
    VmReboot,
    VmReceiveMemory,
    VmRestoreDevices,
    VmRestoreVifs,
    VmResume,
    VmShutdown,
    VmStart,
    VmSuspend,
    VusbCheckState,
)

BRIEFS_SHARED_MAX = 10_000
"""So many different ones are kept to be shared: most operations are the same for any VM."""


class Stop(Enum):
    """Whether an operation ends the VM, and how."""

    NO = "no"
    CLEAN = "clean"
    """It asks the guest and waits for it: what a forced power-off makes pointless."""
    FORCED = "forced"
    """It does not ask the guest."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What decides where a task waits and with whom.

    `name` is for people. `check`: one run of it serves all of its VM's tasks that wait and have an equal one,
    for it only looks and puts right. `other_name` is what else the VM is called while it runs. `takes_slot`:
    whether it takes one of a worker's slots, of which there are as many as it runs VMs at a time.
    """

    name: str
    stop: Stop = Stop.NO
    check: str | None = None
    other_name: VmId | None = None
    takes_slot: bool = True

    @property
    def is_notable(self) -> bool:
        """Whether its coming may mean something for other tasks, or they for it."""
        return self.check is not None or self.stop is Stop.FORCED


@lru_cache(BRIEFS_SHARED_MAX)
def shared(brief: Brief) -> Brief:
    """The same for all that are equal."""
    return brief


@lru_cache(BRIEFS_SHARED_MAX)
def plain(name: str) -> Brief:
    """What is kept of an operation that means nothing for others."""
    return shared(Brief(name))


def brief_of(operation: Operation) -> Brief:
    """What is kept of an operation.

    Within one host two tasks of a migration run on one VM, each under a name of its own, until the receiver
    takes over. Departures wait for an import and an arrival, maybe at the same worker: they could fill all
    its slots, hence those take none.
    """
    match operation:  # what comes most is met first
        case (
            VmStart()
            | VmSuspend()
            | VmResume()
            | VmRestoreVifs()
            | VmRestoreDevices()
            | VbdHotplug()
            | VbdHotunplug()
            | VifHotplug()
            | VifHotunplug()
        ):
            return plain(operation.kind)
        case VmCheckState():
            return shared(Brief(operation.kind, check=operation.kind))
        case VbdCheckState(id=id_) | VifCheckState(id=id_) | PciCheckState(id=id_) | VusbCheckState(id=id_):
            return shared(Brief(operation.kind, check=f"{operation.kind} {id_.device}"))
        case VmPoweroff(timeout_s=None) | VmShutdown(timeout_s=None):
            return shared(Brief(operation.kind, Stop.FORCED))
        case VmPoweroff() | VmShutdown():
            return shared(Brief(operation.kind, Stop.CLEAN))
        case VmReboot(timeout_s=timeout_s):
            return shared(Brief(operation.kind, Stop.NO if timeout_s is None else Stop.CLEAN))
        case VmMigrate(vm=vm):
            return shared(Brief(operation.kind, other_name=departing_id(vm)))
        case VmReceiveMemory(vm=vm, final=final):
            return shared(Brief(operation.kind, other_name=final if final != vm else None, takes_slot=False))
        case AtomicOperation(atomic=atomic):
            takes_slot = not isinstance(atomic, VmImportMetadata | VmRemove)
            return shared(Brief(atomic.kind, takes_slot=takes_slot))
