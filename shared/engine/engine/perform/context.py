"""Context: all that performing an atomic needs, and the objects that a step has changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bus.clock import SYSTEM_CLOCK, Clock
from schema.ids import DeviceId, VmId
from schema.objects.dynamic import (
    ObjectId,
    PciObject,
    VbdObject,
    VgpuObject,
    VifObject,
    VmObject,
    VusbObject,
)
from schema.objects.vm import Vm

from engine.backend import Backend
from engine.hooks import Hooks
from engine.store import Store

DeviceObject = type[VbdObject] | type[VifObject] | type[PciObject] | type[VgpuObject] | type[VusbObject]


@dataclass(frozen=True, slots=True)
class Context:
    """What atomics are performed with; `signal` is told what has changed."""

    store: Store
    backend: Backend
    hooks: Hooks
    signal: Callable[[ObjectId], None]
    clock: Clock = SYSTEM_CLOCK

    def vm(self, vm: VmId) -> Vm:
        """A VM as configured."""
        return self.store.read(vm)

    @contextmanager
    def changing(self, kind: DeviceObject, id_: DeviceId) -> Iterator[VmId]:
        """Whatever comes of it, clients shall look at this device anew. Gives the device's VM."""
        try:
            yield VmId(id_.vm)
        finally:
            self.signal(kind(id=id_))

    @contextmanager
    def changing_vm(self, vm: VmId) -> Iterator[Vm]:
        """Whatever comes of it, clients shall look at this VM anew. Gives the VM as configured."""
        found = self.vm(vm)
        try:
            yield found
        finally:
            self.signal(VmObject(id=vm))
