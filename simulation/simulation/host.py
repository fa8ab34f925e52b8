"""Host: the machine that workers work on: its hypervisor, disk, journal and locks; it outlives them."""

import errno
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from engine.backend import Execution
from engine.conformance.samples import sample_vbd, sample_vm
from engine.journal import Journal, JournalEntry
from engine.lock import VmLocks
from engine.simulator import Simulator, SimulatorSettings
from engine.simulator.faults import Faults
from engine.simulator.hypervisor import Hypervisor
from engine.simulator.settings import Guest
from engine.simulator.states import vbd_state, vif_state, vm_state
from engine.store import FileStore
from engine.store.cells import Cells, Encoding
from engine.worker.host import Host
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId, VmId
from schema.objects.dynamic import VbdObject, VifObject, VmObject
from schema.objects.metadata import Metadata
from schema.objects.vif import Vif
from schema.objects.vm import PowerState
from schema.operations import VmMigrate
from typing_extensions import override

from simulation.life import Life
from simulation.network import Net
from simulation.threads import SimThreads
from simulation.whereabouts import WatchedRecords, Whereabouts, stem

T = TypeVar("T")

DISK_S = 0.002
VERB_S = 0.02
"""How long a write, or a verb of the hypervisor, takes at most."""

Complain = Callable[[str], None]


class SimCells(Cells[T]):
    """Cells on a disk that may be full, of a process that may die before a write or after."""

    def __init__(self, encoding: Encoding[T], life: Life, disk: "Disk") -> None:
        super().__init__(encoding)
        self._life = life
        self._disk = disk

    @override
    def write(self, path: str, value: T) -> None:
        self._life.step(DISK_S)
        if self._disk.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        super().write(path, value)
        self._life.step(DISK_S)


class Disk:
    """The disk under journal and metadata."""

    def __init__(self) -> None:
        self.is_full = False

    def cells_of(self, life: Life) -> "_Maker":
        """What makes a process's cells on it."""
        return _Maker(life, self)


class _Maker:
    def __init__(self, life: Life, disk: Disk) -> None:
        self._life = life
        self._disk = disk

    def __call__(self, encoding: Encoding[T], /) -> Cells[T]:
        return SimCells(encoding, self._life, self._disk)


class Watch:
    """Sees every execution of every VM: whoever touches one while another does is caught."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._busy: defaultdict[str, list[tuple[Life, int]]] = defaultdict(list)
        self._begun: defaultdict[tuple[float, int], int] = defaultdict(int)
        self._lives: list[float] = []
        self._life_of: dict[str, float] = {}

    def touch(self, life: Life, vm: str) -> None:
        """A thread is at a verb of a VM."""
        thread = life.thread()
        if thread is None:
            return
        others = [(other, number) for other, number in self._busy[vm] if other.has(number)]
        if (life, thread) not in others:
            for other, number in others:
                both = f"{life.name} thread {thread}, {other.name} thread {number}"
                self._complain(f"two executions of {vm} at once: {both}")
            others.append((life, thread))
        self._busy[vm] = others

    def leave(self, life: Life, vm: str) -> None:
        """A thread has handed a VM over: whoever touches it now does so after it."""
        thread = life.thread()
        self._busy[vm] = [
            (other, number) for other, number in self._busy[vm] if (other, number) != (life, thread)
        ]

    def begin(self, entry: JournalEntry) -> None:
        """An execution is noted in the journal."""
        self._begun[entry.life, entry.task] += 1
        if self._begun[entry.life, entry.task] > 1:
            self._complain(f"task {entry.task} of {entry.vm} was begun twice")
        self._begin_in_life(entry.vm, entry.life)

    def meet(self, life: float) -> None:
        """A worker of this host reads a life of the log; whoever does so first comes to it last."""
        if life not in self._lives:
            self._lives.append(life)

    def _begin_in_life(self, vm: str, life: float) -> None:
        """What is noted under one life of the log is never followed by what an earlier one had asked for."""
        before = self._life_of.get(vm, life)
        if self._lives.index(life) < self._lives.index(before):
            self._complain(f"{vm} is executed by a life of the log that is over")
        self._life_of[vm] = life


class SimJournal(Journal):
    """The journal, watched."""

    def __init__(self, directory: Path, life: Life, host: "Machine") -> None:
        super().__init__(directory, host.disk.cells_of(life))
        self._life = life
        self._watch = host.watch

    @override
    def begin(self, entry: JournalEntry) -> None:
        super().begin(entry)
        self._watch.begin(entry)

    @override
    def meet(self, life: float) -> None:
        super().meet(life)
        self._watch.meet(life)

    @override
    def note_handover(self, entry: JournalEntry) -> None:
        super().note_handover(entry)
        if isinstance(entry.operation, VmMigrate):
            self._watch.leave(self._life, entry.vm)


class SimFaults(Faults):
    """What strikes at each verb of the hypervisor."""

    def __init__(self, life: Life, host: "Machine") -> None:
        super().__init__(())
        self._life = life
        self._host = host

    @override
    def meet(self, execution: Execution, verb: str, vm: str) -> None:
        self._host.watch.touch(self._life, vm)
        self._life.step(VERB_S)
        self._host.watch.touch(self._life, vm)
        trouble = self._host.next_trouble(stem(vm))
        if trouble is None:
            return
        if trouble > 0:
            execution.wait(trouble)
        else:
            raise internal_error(f"the simulation lets {verb} of {vm} fail")


@cache
def sample(vm: str) -> Metadata:
    """A VM with a disk and an interface."""
    interface = Vif(id=DeviceId(vm, "0"), position=0, mac="00:16:3e:00:00:01")
    return Metadata(vm=sample_vm(vm), vbds=(sample_vbd("xvda", vm),), vifs=(interface,))


class Machine:
    """One host; `directory` is its disk. A save or a restore takes `transfer_s`."""

    def __init__(
        self, directory: Path, watch: Watch, whereabouts: Whereabouts, transfer_s: float = 0.0
    ) -> None:
        self.disk = Disk()
        self.watch = watch
        self.records = WatchedRecords(directory.name, whereabouts)
        self.directory = directory
        self._simulator = SimulatorSettings(guest=Guest(shutdown_s=1.0), transfer_s=transfer_s)
        self._troubles: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        self._store = FileStore(directory / "metadata")

    def configure(self, vms: tuple[str, ...]) -> None:
        """Know these VMs from the beginning."""
        for vm in vms:
            configured = sample(vm)
            self._store.write(configured.vm)
            for disk in configured.vbds:
                self._store.vbds.write(disk)
            for interface in configured.vifs:
                self._store.vifs.write(interface)

    def trouble(self, vm: str, verbs: int, seconds: float) -> None:
        """After so many verbs of a VM the next takes so long; 0: it fails."""
        self._troubles[vm].append((verbs, seconds))

    def next_trouble(self, vm: str) -> float | None:
        """What strikes now."""
        waiting = self._troubles[vm]
        if not waiting:
            return None
        (verbs, seconds), rest = waiting[0], waiting[1:]
        self._troubles[vm] = rest if verbs == 0 else [(verbs - 1, seconds), *rest]
        return seconds if verbs == 0 else None

    def host_of(self, life: Life, net: Net) -> Host:
        """What a worker finds on it."""
        hypervisor = Hypervisor(self._simulator, self.records, life.clock.now)
        hypervisor.faults = SimFaults(life, self)
        return Host(
            backend=Simulator(hypervisor=hypervisor),
            store=FileStore(self.directory / "metadata", self.disk.cells_of(life)),
            journal=SimJournal(self.directory / "journal", life, self),
            locks=VmLocks(self.directory / "locks", life.clock),
            threads=SimThreads(life),
            network=net.of(life),
        )

    def knows(self, vm: str) -> bool:
        """Whether a VM is configured here."""
        return self._store.exists(vm)

    def names(self) -> set[str]:
        """Every name of a VM of which there is anything here."""
        return {*self._store.ids(), *self.records.names()}

    def truth(self, known: VmObject | VbdObject | VifObject) -> PowerState | bool | None:
        """A VM's power state, whether a device is plugged; None for what is not configured."""
        store = self._store
        match known:
            case VmObject(id=vm):
                if not store.exists(vm):
                    return None
                return vm_state(self.records.read(vm), store.read(vm), starts_paused=True).power_state
            case VbdObject(id=id_):
                return vbd_state(self.records.read(id_.vm), id_).plugged if store.vbds.exists(id_) else None
            case VifObject(id=id_):
                return vif_state(self.records.read(id_.vm), id_).plugged if store.vifs.exists(id_) else None

    def half_made(self, vm: str) -> bool:
        """Whether a VM has a domain with nothing in it: no operator knows what that is."""
        domain = self.records.read(vm).domain
        return domain is not None and not domain.built

    def unfinished(self) -> list[JournalEntry]:
        """The executions that were begun and not ended, by the journal."""
        return list(Journal(self.directory / "journal").unfinished())

    def kept(self) -> list[VmId]:
        """The VMs of which the journal says that they are not yet where they shall be."""
        there = FileStore(self.directory / "metadata").exists
        return [vm for vm in Journal(self.directory / "journal").kept() if there(vm)]

    def locked(self) -> Iterator[VmId]:
        """The VMs whose locks anybody holds."""
        locks, refused = VmLocks(self.directory / "locks"), internal_error("locked")

        def refuse(_: float) -> None:
            raise refused

        for vm in locks.names():
            try:
                with locks.held(vm, refuse):
                    pass
            except XenopsError:
                yield vm
