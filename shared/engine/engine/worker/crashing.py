"""Crashing: an execution's crash points, around atomics, notes and changes of metadata; see `bus.crash`."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic

from bus.crash import CrashKind, CrashPoints
from schema.atomics import Atomic
from schema.ids import DeviceId, VmId
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from schema.objects.vusb import Vusb
from typing_extensions import override

from engine.backend import Devices, Execution
from engine.execute import Perform
from engine.store import Store
from engine.store.port import DeviceT, DeviceTable


@dataclass(frozen=True, slots=True)
class Crashing:
    """The points of tasks of one name; where none is wanted, everything is as without."""

    points: CrashPoints
    name: str

    def around(self, kind: CrashKind, what: str) -> AbstractContextManager[None]:
        """Before and after an effect."""
        return self.points.around(self.name, kind, what)

    def steps(self, perform: Perform) -> Perform:
        """Performs each atomic between two points."""
        if self.points.name is None:
            return perform

        def perform_between(atomic: Atomic, execution: Execution) -> Any:
            with self.around(CrashKind.STEP, atomic.kind):
                return perform(atomic, execution)

        return perform_between

    def store(self, store: Store) -> Store:
        """The store, each change of which is between two points."""
        return store if self.points.name is None else _Store(store, self)


class _Table(DeviceTable[DeviceT], Generic[DeviceT]):
    def __init__(self, table: DeviceTable[DeviceT], crashing: Crashing) -> None:
        self._table: DeviceTable[DeviceT] = table
        self._crashing = crashing

    @override
    def read(self, id: DeviceId) -> DeviceT:
        return self._table.read(id)

    @override
    def exists(self, id: DeviceId) -> bool:
        return self._table.exists(id)

    @override
    def write(self, device: DeviceT) -> None:
        with self._crashing.around(CrashKind.STORE, f"write {device.id.vm}/{device.id.device}"):
            self._table.write(device)

    @override
    def remove(self, id: DeviceId) -> None:
        with self._crashing.around(CrashKind.STORE, f"remove {id.vm}/{id.device}"):
            self._table.remove(id)

    @override
    def ids(self, vm: str) -> tuple[DeviceId, ...]:
        return self._table.ids(vm)

    @override
    def list(self, vm: str) -> tuple[DeviceT, ...]:
        return self._table.list(vm)


class _Store(Store):
    def __init__(self, store: Store, crashing: Crashing) -> None:
        self._store = store
        self._crashing = crashing
        self.reads_wait = store.reads_wait

    @property
    @override
    def vbds(self) -> DeviceTable[Vbd]:
        return _Table(self._store.vbds, self._crashing)

    @property
    @override
    def vifs(self) -> DeviceTable[Vif]:
        return _Table(self._store.vifs, self._crashing)

    @property
    @override
    def pcis(self) -> DeviceTable[Pci]:
        return _Table(self._store.pcis, self._crashing)

    @property
    @override
    def vgpus(self) -> DeviceTable[Vgpu]:
        return _Table(self._store.vgpus, self._crashing)

    @property
    @override
    def vusbs(self) -> DeviceTable[Vusb]:
        return _Table(self._store.vusbs, self._crashing)

    @override
    def ids(self) -> tuple[VmId, ...]:
        return self._store.ids()

    @override
    def list(self) -> tuple[Vm, ...]:
        return self._store.list()

    @override
    def exists(self, vm: str) -> bool:
        return self._store.exists(vm)

    @override
    def read(self, vm: str) -> Vm:
        return self._store.read(vm)

    @override
    def write(self, vm: Vm) -> None:
        with self._crashing.around(CrashKind.STORE, f"write {vm.id}"):
            self._store.write(vm)

    @override
    def remove(self, vm: str) -> None:
        with self._crashing.around(CrashKind.STORE, f"remove {vm}"):
            self._store.remove(vm)

    @override
    def rename(self, vm: str, name: str) -> None:
        with self._crashing.around(CrashKind.STORE, f"rename {vm} {name}"):
            self._store.rename(vm, name)

    @override
    def devices(self, vm: str) -> Devices:
        return self._store.devices(vm)
