"""Updates: which objects changed since a place in the log, each once, ordered by its last change.

After the original's update recorder (xapi-idl, updates.ml), with three differences: reading costs as much as
there is to tell, not as much as there is in all; a VM that was removed is told once more, and if it comes
back, so are the devices that it had; and what is no longer kept leads to telling everything, not to silence.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from schema.ids import VmId
from schema.objects.dynamic import ObjectId, VmObject, vm_of

from eventhub.tokens import START

GONE_KEPT = 10_000
"""Removed VMs whose removal is still told; a client that was away for more is told everything."""

BARRIERS_MAX = 1_000
"""Barriers at a time: clients remove theirs; each holds a copy of one VM's changes."""


@dataclass(frozen=True, slots=True)
class BarrierNews:
    """A barrier, and what had changed in its VM when it was put up."""

    id: int
    objects: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True)
class News:
    """What changed: barriers first, in the order in which they were put up; `place` is where to go on."""

    barriers: tuple[BarrierNews, ...]
    objects: tuple[ObjectId, ...]
    place: int

    def __bool__(self) -> bool:
        return bool(self.barriers or self.objects)


@dataclass(frozen=True, slots=True)
class PlacedBarrier:
    """A barrier in the log, with a snapshot of its VM's changes, in order."""

    id: int
    place: int
    changes: tuple[tuple[ObjectId, int], ...]


@dataclass(frozen=True, slots=True)
class UpdatesState:
    """All that `Updates` knows."""

    places: Mapping[ObjectId, int]
    gone: tuple[ObjectId, ...]
    """Removed VMs, each after the devices that it had."""
    kept_since: int
    barriers: tuple[PlacedBarrier, ...]
    last: int


class Updates:
    """The fold: give it every change with its place; ask what is new since one."""

    def __init__(self, gone_kept: int = GONE_KEPT) -> None:
        self._gone_kept = gone_kept
        self._places: dict[ObjectId, int] = {}  # copied without asking each object for its hash
        self._of_vm: dict[VmId, OrderedDict[ObjectId, None]] = {}
        self._gone: OrderedDict[ObjectId, tuple[ObjectId, ...]] = OrderedDict()  # with their devices
        self._kept_since = START
        self._barriers: list[PlacedBarrier] = []
        self.last = START
        """The place of the last news."""

    def state(self) -> UpdatesState:
        """What is known now."""
        gone = tuple(chain.from_iterable((*devices, vm) for vm, devices in self._gone.items()))
        return UpdatesState(self._places.copy(), gone, self._kept_since, tuple(self._barriers), self.last)

    def take(self, state: UpdatesState) -> None:
        """Know what a state says, and nothing else."""
        self._places = dict(state.places)
        self._gone = OrderedDict(_with_devices(state.gone))
        self._kept_since, self._barriers, self.last = state.kept_since, list(state.barriers), state.last
        self._of_vm = {}
        for changed in self._places:  # within a VM they stand in the same order
            vm = None if changed in self._gone else vm_of(changed)
            if vm is not None:
                self._of_vm.setdefault(vm, OrderedDict())[changed] = None

    @property
    def barriers(self) -> Sequence[PlacedBarrier]:
        """All barriers that stand, oldest first."""
        return self._barriers

    @property
    def vms(self) -> list[VmId]:
        """All VMs of which something is known."""
        return sorted(self._of_vm)

    def items(self) -> Collection[tuple[ObjectId, int]]:
        """Every object with the place of its last change, ordered by it."""
        return self._places.items()

    def change(self, objects: Iterable[ObjectId], place: int) -> None:
        """Objects have changed, in this order.

        Of a VM that is back the devices of before count as changed, too: who has not heard that it was gone
        knows them as they were.
        """
        for changed in objects:
            for device in self._gone.pop(changed, ()):
                self._change(device, place)
            self._change(changed, place)

    def _change(self, changed: ObjectId, place: int) -> None:
        self._places.pop(changed, None)
        self._places[changed] = place
        vm = vm_of(changed)
        if vm is not None:
            of_vm = self._of_vm.setdefault(vm, OrderedDict())
            of_vm[changed] = None
            of_vm.move_to_end(changed)
        self.last = place

    def forget(self, gone: ObjectId) -> None:
        """An object is no more, and nobody is told: clients forget tasks themselves."""
        self._places.pop(gone, None)

    def remove_vm(self, vm: VmId, place: int) -> None:
        """A VM and its devices are no more: told as a change of the VM; clients look for it in vain."""
        removed = VmObject(id=vm)
        there = (known for known in self._of_vm.pop(vm, ()) if known != removed)
        devices = tuple(dict.fromkeys((*self._gone.pop(removed, ()), *there)))
        for known in (*devices, removed):
            self._places.pop(known, None)
        self._places[removed] = place
        self._gone[removed] = devices
        self.last = place
        if len(self._gone) > self._gone_kept:
            oldest, _ = self._gone.popitem(last=False)
            self._kept_since = max(self._kept_since, self._places.pop(oldest))

    def objects_of(self, vm: VmId) -> tuple[ObjectId, ...]:
        """A VM and its devices as far as they ever changed, in the original's order of classes."""
        return tuple(sorted(self._of_vm.get(vm, ()), key=_class_and_name))

    def put_barrier(self, barrier: int, vm: VmId, place: int) -> None:
        """Put up a barrier, with what has changed in its VM up to here."""
        changes = tuple((changed, self._places[changed]) for changed in self._of_vm.get(vm, ()))
        self._barriers.append(PlacedBarrier(barrier, place, changes))
        del self._barriers[:-BARRIERS_MAX]
        self.last = place

    def remove_barrier(self, barrier: int) -> None:
        """Take down all barriers of this id."""
        self._barriers = [standing for standing in self._barriers if standing.id != barrier]

    def everything(self) -> News:
        """What a client that knows nothing is told: all that exists."""
        objects = tuple(known for known in self._places if known not in self._gone)
        return News(self._barriers_after(START), objects, self.last)

    def since(self, place: int) -> News:
        """What a client is told that has seen all up to `place`; everything, when that is too long ago."""
        if place < self._kept_since:
            place = START
        objects = tuple(self._newest_first(place))[::-1]
        return News(self._barriers_after(place), objects, max(place, self.last))

    def _newest_first(self, place: int) -> Iterator[ObjectId]:
        for changed, at in reversed(self._places.items()):
            if at <= place:
                return
            yield changed

    def _barriers_after(self, place: int) -> tuple[BarrierNews, ...]:
        return tuple(
            BarrierNews(barrier.id, tuple(changed for changed, at in barrier.changes if at > place))
            for barrier in self._barriers
            if barrier.place > place
        )


def _with_devices(gone: Iterable[ObjectId]) -> Iterator[tuple[ObjectId, tuple[ObjectId, ...]]]:
    """Removed VMs, as `UpdatesState` has them, each with its devices."""
    devices: list[ObjectId] = []
    for known in gone:
        if isinstance(known, VmObject):
            yield known, tuple(devices)
            devices = []
        else:
            devices.append(known)


_CLASSES = ("Vm", "Vbd", "Vif", "Pci", "Vgpu", "Vusb")


def _class_and_name(changed: ObjectId) -> tuple[int, str]:
    return _CLASSES.index(changed.kind), changed.id[-1]
