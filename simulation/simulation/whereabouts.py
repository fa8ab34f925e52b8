"""Whereabouts: where each VM lives: one that runs twice, or is gone before it has arrived, is found."""

from collections import defaultdict
from collections.abc import Callable

from engine.simulator.machine import Machine
from engine.simulator.records import MemoryRecords
from schema.ids import VmId
from schema.migration import arriving_id, departing_id
from typing_extensions import override

_SUFFIX_LETTERS = 12


def stem(name: str) -> str:
    """The VM's own id, of one that it bears while it migrates."""
    known = VmId(name[:-_SUFFIX_LETTERS])
    return known if known and name in (arriving_id(known), departing_id(known)) else name


class Whereabouts:
    """Of all VMs, by all hosts' hypervisors. `_moved`: where there was one when it arrived elsewhere."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._built: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._running: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._moved: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def note(self, host: str, name: str, machine: Machine) -> None:
        """A host's VM is like this now."""
        vm, place, domain = stem(name), (host, name), machine.domain
        is_built = domain is not None and domain.built
        runs = domain is not None and domain.built and not domain.paused and not domain.suspended
        vanished = place in self._built[vm] and not is_built
        if is_built and place not in self._built[vm]:
            self._moved[vm].discard(place)
        _put(self._built[vm], place, is_in=is_built)
        _put(self._running[vm], place, is_in=runs)
        if len(self._running[vm]) > 1:
            self._complain(f"{vm} runs twice: {sorted(self._running[vm])}")
        if vanished and name != vm and not self._built[vm] and place not in self._moved[vm]:
            self._complain(f"{vm} is lost: the last that there was of it was {name} on {host}")

    def rename(self, host: str, name: str, machine: Machine) -> None:
        """A host's VM is called so from now on, and no more by its old name."""
        vm = stem(name)
        self._built[vm].discard((host, name))
        self._running[vm].discard((host, name))
        if name == arriving_id(VmId(vm)) and machine.domain is not None and machine.domain.built:
            self._moved[vm] |= self._built[vm]
        self.note(host, machine.id, machine)


def _put(places: set[tuple[str, str]], place: tuple[str, str], *, is_in: bool) -> None:
    if is_in:
        places.add(place)
    else:
        places.discard(place)


class WatchedRecords(MemoryRecords):
    """One host's records; each change is told."""

    def __init__(self, host: str, whereabouts: Whereabouts) -> None:
        super().__init__()
        self._host = host
        self._whereabouts = whereabouts

    def names(self) -> list[str]:
        """The VMs of which anything is known."""
        return list(self._machines)

    @override
    def rename(self, vm: str, name: str) -> None:
        is_known = vm in self._machines
        super().rename(vm, name)
        if is_known:
            self._whereabouts.rename(self._host, vm, self.read(name))

    @override
    def remove(self, vm: str) -> None:
        super().remove(vm)
        self._whereabouts.note(self._host, vm, self.read(vm))

    @override
    def _put(self, machine: Machine) -> None:
        super()._put(machine)
        self._whereabouts.note(self._host, machine.id, machine)
