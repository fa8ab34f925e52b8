"""Sweep: each service dies at each of its crash points of an operation; afterwards all must be right."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bus.crash import VARIABLE, CrashKind
from bus.ports import BusError, Entry
from history import Counts, History, Promise, judge, read_tale
from load import LIVE, add_vm, await_end, is_valid
from room import HERE, PATIENCE_S, QUIET_S, THERE, Part, Room, eventually
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId, VmId
from schema.migration import arriving_id, departing_id
from schema.objects.disk import LocalDisk
from schema.objects.task import Pending
from schema.records import Submitted
from xenops.calls.vm import Destination
from xenops.client import Client

FRONTEND_TIMEOUT_S = 1.0
"""How long a call may take when its frontend is killed: nobody will answer."""

OTHERS_TIMEOUT_S = 8.0
"""The same when another is killed: the frontend waits for whoever comes after it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done to a VM, and in which state it must be before."""

    name: str
    prepare: Callable[[Client, str, LocalDisk], Iterator[str]]
    submit: Callable[[Client, str, LocalDisk], str]
    crosses: bool = False
    """Whether it leads from one instance to the other."""


def _halted(_client: Client, _vm: str, _disk: LocalDisk) -> Iterator[str]:
    yield from ()


def _started(client: Client, vm: str, _disk: LocalDisk) -> Iterator[str]:
    yield client.vm.start(vm)


def _running(client: Client, vm: str, _disk: LocalDisk) -> Iterator[str]:
    yield client.vm.start(vm)
    yield client.vm.unpause(vm)


def _suspended(client: Client, vm: str, disk: LocalDisk) -> Iterator[str]:
    yield from _running(client, vm, disk)
    yield client.vm.suspend(vm, disk)


START = Operation("start", _halted, lambda client, vm, _: client.vm.start(vm))
SHUTDOWN = Operation("shutdown", _started, lambda client, vm, _: client.vm.shutdown(vm, None))
REBOOT = Operation("reboot", _running, lambda client, vm, _: client.vm.reboot(vm, None))
SUSPEND = Operation("suspend", _running, lambda client, vm, disk: client.vm.suspend(vm, disk))
RESUME = Operation("resume", _suspended, lambda client, vm, disk: client.vm.resume(vm, disk))


def migrate_to(url: str) -> Operation:
    """A migration to another instance."""
    return Operation(
        "migrate", _running, lambda client, vm, _: client.vm.migrate(vm, Destination(url)), crosses=True
    )


def operations(directory: Path) -> dict[str, Operation]:
    """Those that are swept, by name, in a room of `sweep_parts`."""
    every = (START, SHUTDOWN, REBOOT, SUSPEND, RESUME, migrate_to(f"unix://{directory}/there.door"))
    return {operation.name: operation for operation in every}


def sweep_parts(directory: Path) -> tuple[Part, ...]:
    """Two instances: worker and frontend are each one's own, the others serve both."""
    both = (HERE, THERE)
    return (
        Part("redirector", "redirector", both),
        Part("eventhub", "eventhub", both),
        Part("frontend-here", "frontend", (HERE,), {"XENOPS_DOOR": f"{directory}/here.door"}),
        Part("frontend-there", "frontend", (THERE,), {"XENOPS_DOOR": f"{directory}/there.door"}),
        Part("worker-here", "worker_sim", (HERE,)),
        Part("worker-there", "worker_sim", (THERE,)),
    )


BUS_KINDS = (CrashKind.READ, CrashKind.APPEND, CrashKind.TELL)
KINDS = {
    "frontend": (CrashKind.APPEND, CrashKind.TELL),
    "redirector": BUS_KINDS,
    "eventhub": (CrashKind.READ,),
    "worker": (CrashKind.READ, CrashKind.APPEND, CrashKind.STEP, CrashKind.JOURNAL, CrashKind.STORE),
}
"""Which kinds of points a service has."""


@dataclass(slots=True)
class Result:
    """What a sweep found: how many points, what went wrong, how long each recovery took."""

    points: int = 0
    counts: Counts = field(default_factory=Counts)
    recoveries_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """A process that shall die, and at which kind of point."""

    part: str
    kind: CrashKind


def targets(parts: tuple[Part, ...], operation: Operation) -> list[Target]:
    """Whoever has a part in an operation."""
    return [
        Target(part.name, kind)
        for part in parts
        if operation.crosses or HERE in part.instances
        for service, kinds in KINDS.items()
        if part.module.startswith(service)
        for kind in kinds
    ]


class Sweep:
    """Sweeps operations over a room that is open, and reads along."""

    def __init__(self, room: Room, add: Callable[[Client, str], None] = add_vm) -> None:
        self.room = room
        self._add_vm = add
        self._histories = {name: History(room.url, name) for name in room.instances}
        self._promises: dict[InstanceName, list[Promise]] = {name: [] for name in room.instances}
        self._marks = dict.fromkeys(room.instances, 0)
        self._bystander = f"bystander-{uuid.uuid4()}"
        for name in room.instances:
            add_vm(room.client(name), self._bystander)

    def close(self) -> None:
        """Read no more."""
        for history in self._histories.values():
            history.close()

    def run(self, operation: Operation, target: Target, first: int = 1, every: int = 1) -> Result:
        """Every `every`-th point of one kind, from the `first` on, until there is none."""
        result, number, run = Result(), first, uuid.uuid4().hex[:8]
        self.room.restart(target.part, _armed(target, run, number))
        while True:
            self.room.await_answers()
            self.pass_by(target.part, crosses=True)  # now the redirector leads, too
            strike = Strike(self, operation, target, f"{run}-{number}")
            died_at = strike.submit()
            if died_at is None:
                break
            number += every
            self.room.start(target.part, _armed(target, run, number))
            result.recoveries_s.append(strike.recover() - died_at)
            result.points += 1
            result.complaints += strike.complaints
        self.room.restart(target.part)
        self.room.await_answers()
        return result

    def verdict(self, complain: Callable[..., object] = print) -> Counts:
        """On all that was done since the sweep was made; what is wrong is told in words, too."""
        counts = Counts()
        for name, history in self._histories.items():
            judged, broken = judge(
                read_tale(history.entries),
                self._promises[name],
                self.room.hooks_run(name),
            )
            counts += judged
            complain(*broken)
        return counts

    def prepare(self, operation: Operation, vm: str, disk: LocalDisk) -> None:
        """A VM in the state that the operation begins from."""
        self._marks = {name: len(history.entries) for name, history in self._histories.items()}
        client = self.room.client(timeout_s=PATIENCE_S)
        eventually(lambda: self._add_vm(client, vm))
        for task in operation.prepare(client, vm, disk):
            assert await_end(client, TaskId(int(task)))

    def records_of(self, dbg: str) -> int:
        """How many records stand in the log here since a task of that name, of its VM."""
        recent = iter(self._histories[HERE].entries[self._marks[HERE] :])
        for entry in recent:
            if isinstance(entry.record, Submitted) and entry.record.dbg == dbg:
                vm = entry.record.vm
                return 1 + sum(1 for later in recent if getattr(later.record, "vm", None) == vm)
        return 0

    def promise(self, task: TaskId, vm: str) -> None:
        """Our client was told that a task is accepted."""
        self._promises[HERE].append(Promise(task, vm))

    def ends(self, dbg: str, *, submitted: bool) -> bool:
        """Whether all tasks of that name end; where none was `submitted` for sure, there may be none."""
        for name, history in self._histories.items():
            over = partial(_over, self._marks[name], dbg, must=submitted and name == HERE)
            if not history.wait(over, PATIENCE_S):
                return False
        return True

    def is_over(self, dbg: str) -> bool:
        """Whether a task of that name has ended here."""
        return self._histories[HERE].wait(partial(_over, self._marks[HERE], dbg, must=True), 0.0)

    def pass_by(self, part: str, *, crosses: bool) -> None:
        """Have every service do something else: then it has done all of what came before, or died of it."""
        for name in self.room.instances if crosses else (HERE,):
            client = self.room.client(name, timeout_s=FRONTEND_TIMEOUT_S)
            while self.room.lives(part) and not self._delays(client, part):
                threading.Event().wait(QUIET_S)

    def _delays(self, client: Client, part: str) -> bool:
        """Whether a task without any work is done, as long as a part lives."""
        try:
            task = client.vm.delay(self._bystander, 0.0)
            while isinstance(client.task.stat(task).state, Pending):
                if not self.room.lives(part):
                    return False
                threading.Event().wait(QUIET_S)
        except (BusError, XenopsError):
            return False
        return True


class Strike:
    """One point: an operation is asked for, the process dies, another takes its place."""

    def __init__(self, sweep: Sweep, operation: Operation, target: Target, name: str) -> None:
        self.complaints: list[str] = []
        self._sweep = sweep
        self._operation = operation
        self._target = target
        self._name = name
        self._vm = f"vm-{name}-{target.kind}-{target.part}"
        self._disk = LocalDisk(path=str(sweep.room.directory / f"image-{self._vm}"))
        self._task: TaskId | None = None
        self._asking = threading.Thread(target=self._ask)

    def submit(self) -> float | None:
        """Ask for the operation; answers when the process died of it, or None if it did not."""
        self._sweep.prepare(self._operation, self._vm, self._disk)
        self._asking.start()
        room, part = self._sweep.room, self._target.part
        pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
        while room.lives(part) and not self._sweep.is_over(self._name):
            assert time.monotonic() < deadline, f"{self._name}: neither death nor end"
            pause.wait(0.01)
        if room.lives(part):
            self._asking.join()
            self._sweep.pass_by(part, crosses=self._operation.crosses)
        return None if room.lives(part) else time.monotonic()

    def submit_until(self, records: int) -> bool:
        """Ask for the operation; answers whether so many records of it came before its end."""
        self._sweep.prepare(self._operation, self._vm, self._disk)
        self._asking.start()
        pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
        while self._sweep.records_of(self._name) < records:
            if self._sweep.is_over(self._name):
                self._asking.join()
                return False
            assert time.monotonic() < deadline, f"{self._name}: neither record {records} nor end"
            pause.wait(0.002)
        return True

    def recover(self) -> float:
        """Wait for the end of all; answers when it had come."""
        self._asking.join()
        if not self._sweep.ends(self._name, submitted=self._task is not None):
            self.complaints.append(f"{self._vm}: stuck")
        ended_at = time.monotonic()
        if self._task is not None and await_end(self._sweep.room.client(), self._task) is None:
            self.complaints.append(f"{self._vm}: nobody knows task {self._task}")
        try:
            eventually(self._assert_valid)
        except AssertionError as error:
            self.complaints.append(f"{self._vm}: {error}")
        return ended_at

    def _ask(self) -> None:
        is_frontend = self._target.part.startswith("frontend")
        timeout_s = FRONTEND_TIMEOUT_S if is_frontend else OTHERS_TIMEOUT_S
        client = self._sweep.room.client(dbg=self._name, timeout_s=timeout_s)
        try:
            self._task = TaskId(int(self._operation.submit(client, self._vm, self._disk)))
        except (BusError, XenopsError):
            return  # nothing was promised
        self._sweep.promise(self._task, self._vm)

    def _assert_valid(self) -> None:
        """The VM is at one place, in one piece."""
        clients = [self._sweep.room.client(name) for name in self._sweep.room.instances]
        states = []
        temporary = {arriving_id(VmId(self._vm)), departing_id(VmId(self._vm))}
        for client in clients:
            found = {vm.id: state for vm, state in client.vm.list()}
            left = [name for name in temporary if client.vm.exists(name)]
            assert not left, f"left over: {left}"
            if self._vm in found:
                assert is_valid(client, self._vm), f"half there: {found[self._vm].power_state}"
                states.append(found[self._vm].power_state)
        assert len(states) == 1 or sum(state in LIVE for state in states) == 1, f"states: {states}"


def _armed(target: Target, run: str, number: int) -> dict[str, str]:
    return {VARIABLE: f"{run}-{number}:{target.kind}:{number}"}


def _over(mark: int, dbg: str, log: list[Entry], *, must: bool) -> bool:
    """Whether there is a task of that name, if there must, and all of them have ended, from a `mark` on."""
    recent = log[mark:]
    ours = {
        entry.offset for entry in recent if isinstance(entry.record, Submitted) and entry.record.dbg == dbg
    }
    return not (ours & read_tale(recent).open()) and (bool(ours) or not must)
