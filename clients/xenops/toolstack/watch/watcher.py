"""The watcher: follows one instance's updates, has every changed object looked at, wakes who waits.

After xapi's events_watch: it loops on UPDATES.get, from everything to what is new. Unlike there, VMs do not
wait for each other, what fails is repeated, the place in the updates outlives every failure of the way to
the service, and nobody who waits for a task asks for it again and again.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.dynamic import ObjectId, TaskObject, VmObject
from schema.objects.errors import DoesNotExist
from schema.objects.task import Pending, Task
from schema.rpc import ResponseError

from xenops.calls.events import Updates
from xenops.client import Client
from xenops.toolstack.watch.lanes import Lane
from xenops.toolstack.watch.waiters import TaskGoneError, Waiters
from xenops.toolstack.watch.workers import WORKERS_MAX, Workers

LISTEN_S = 5
"""How long one UPDATES.get waits. It says how soon the death of whoever was to answer is noticed."""

PATIENCE_S = 5.0
"""How much later than that an answer may come."""

READ_S = 10.0
"""How long any other read may take; one whose answer died with its service is asked for again."""

BACKOFF_S, BACKOFF_S_MAX = 0.1, 2.0
"""Between attempts to reach the service: doubled each time."""

SWEEP_S = 10.0
"""How often awaited tasks are counted: somebody may have destroyed one, and a replica that has told of a
task's end may be ahead of the one that was then asked for it."""

_log = logging.getLogger("xenops.toolstack")


class Handler(Protocol):
    """What is done about changes; called on the watcher's threads, for one VM by one thread at a time."""

    def changed(self, changed: ObjectId) -> None:
        """Something about a VM or a device may have changed, or it may be gone: have a look.

        `BusError` has the same object shown again, before any other of its VM.
        """

    def vms(self) -> Iterable[str]:
        """The VMs that it believes to exist, to be told of those that are gone."""


@dataclass(frozen=True, slots=True)
class _Barrier:
    id: int


_Item = ObjectId | _Barrier


class Watcher:
    """Watches one instance. As a context manager it watches within."""

    def __init__(self, client: Client, handler: Handler, *, workers_max: int = WORKERS_MAX) -> None:
        self._client = client
        self._ears = client.patient(PATIENCE_S)
        self._reads = client.patient(READ_S)
        self._handler = handler
        self._workers: Workers[_Item] = Workers(self._look, workers_max)
        self._waiters = Waiters()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="toolstack-watcher", daemon=True)
        self._token: int | None = None
        self._barrier = secrets.randbits(40) << 20

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def client(self) -> Client:
        """Whom it watches by."""
        return self._client

    def start(self) -> None:
        """Watch from now on; everything there is is looked at first."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more: no look is under way when this returns, and who waits is told. Idempotent.

        The thread that listens ends with its last call, within seconds.
        """
        self._stopping.set()
        self._workers.stop()
        self._waiters.close()

    def task_ended(self, task: str, on_change: Callable[[Task], None] | None = None) -> Future[Task]:
        """A future of a task as it ended; `on_change` is given it at once and whenever it changes.

        The future fails with `TaskGoneError` when somebody destroyed the task, or `WatcherStoppedError`.
        """
        ended = self._waiters.await_task(task, on_change)
        self._workers.offer(_in_lane(TaskObject(id=task)))
        return ended

    def awaits(self, task: str) -> bool:
        """Whether somebody waits for a task."""
        return task in self._waiters.tasks()

    def seen(self, vm: str) -> Future[None]:
        """A future that ends once all that has changed in a VM until now has been looked at.

        Raises:
            BusError: the barrier for this could not be put up.
        """
        barrier, done = self._waiters.await_barrier(vm, self._barrier)
        try:
            self._client.updates.inject_barrier(vm, barrier)
        except BaseException:
            self._waiters.barrier_reached(barrier)
            raise
        return done

    def _listen(self) -> None:
        backoff_s, missed, swept = BACKOFF_S, False, time.monotonic()
        while not self._stopping.is_set():
            try:
                updates = self._ears.updates.get(self._token, 0 if missed else LISTEN_S)
                if missed or time.monotonic() - swept > SWEEP_S:
                    self._sweep(missed=missed)
                    missed, swept = False, time.monotonic()
            except (BusError, XenopsError, ResponseError) as error:
                if not missed and not self._stopping.is_set():
                    _log.warning("watching: %s; trying again", error)
                missed = True
                self._stopping.wait(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)
                continue
            backoff_s = BACKOFF_S
            self._deliver(updates)

    def _deliver(self, updates: Updates) -> None:
        """Barriers come first, each after what had changed before it."""
        barriers, objects, self._token = updates
        for barrier, before in barriers:
            vm = self._waiters.vm_of(barrier)
            if vm is not None:
                items = [_in_lane(changed) for changed in before]
                self._workers.offer(*items, (vm, _Barrier(barrier)))
        awaited = self._waiters.tasks()
        self._workers.offer(
            *(
                _in_lane(changed)
                for changed in objects
                if not isinstance(changed, TaskObject) or changed.id in awaited
            )
        )

    def _sweep(self, *, missed: bool) -> None:
        """Look for what nobody tells of: destroyed tasks, and VMs that went while nobody listened."""
        awaited = self._waiters.tasks()
        if awaited:
            listed = self._reads.task.list()
            pending = {task.id for task in listed if isinstance(task.state, Pending)}
            asked = awaited if missed else awaited - pending
            self._workers.offer(*(_in_lane(TaskObject(id=task)) for task in asked))
        if missed:
            there = {vm.id for vm, _ in self._reads.vm.list()}
            self._workers.offer(*(_in_lane(VmObject(id=vm)) for vm in self._handler.vms() if vm not in there))

    def _look(self, item: _Item) -> None:
        match item:
            case _Barrier(id=barrier):
                self._reads.updates.remove_barrier(barrier)
                self._waiters.barrier_reached(barrier)
            case TaskObject(id=task):
                self._look_at_task(task)
            case _:
                self._handler.changed(item)

    def _look_at_task(self, task: str) -> None:
        try:
            seen = self._reads.task.stat(task)
        except XenopsError as error:
            if isinstance(error.error, DoesNotExist):
                self._waiters.task_gone(task, TaskGoneError(f"task {task} was destroyed by somebody else"))
                return
            raise
        self._waiters.task_changed(seen)


def _in_lane(changed: ObjectId) -> tuple[Lane, _Item]:
    """A VM and its devices share a lane; each task has its own."""
    match changed:
        case TaskObject():
            return changed, changed
        case VmObject(id=vm):
            return vm, changed
        case _:
            return changed.id.vm, changed
