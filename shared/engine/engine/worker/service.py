"""The worker's shell: reads the log, runs leases in threads, answers the control queue, reports changes."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bus.ports import BEGINNING, Bus, Entry, Request
from bus.topology import control_queue
from schema.fault import XenopsError
from schema.ids import TaskId, VmId
from schema.objects.dynamic import (
    ObjectId,
    PciObject,
    TaskObject,
    VbdObject,
    VgpuObject,
    VifObject,
    VmObject,
    VusbObject,
)
from schema.operations import (
    Operation,
    PciCheckState,
    VbdCheckState,
    VifCheckState,
    VmCheckState,
    VusbCheckState,
)
from schema.records import Changed, Record, Submitted

from engine.backend import Backend
from engine.cancellation import Cancellation
from engine.control import Control, Desk
from engine.hooks import Hooks
from engine.journal import Journal
from engine.lock import VmLocks
from engine.observers import Observers
from engine.perform.scene import Scene
from engine.store import Store
from engine.worker.core import Append, Cancel, Effect, Fence, Lease, Run, WorkerCore
from engine.worker.reporter import INTERVAL_S
from engine.worker.runner import Runner, Tools, put_right
from engine.worker.settings import WorkerSettings

HEARTBEAT_S = 5.0
"""How often a worker shows that it lives; the redirector's patience is four of these."""

STOP_TIMEOUT_S = 30.0
"""How long a worker that shall stop waits for what it runs; the next one puts the rest right."""

CHECK_ACCEPT_S = 24 * 3600.0
"""A backend's event waits this long for a redirector: nobody would submit it again."""

CONTROL_THREADS = 8
"""Reads under way at a time; one that waits for a hypervisor delays no other."""

THREADS_MAX = 1_000
"""Executions under way at a time, whatever capacity an operator asks for."""

_EVENT = "event"
"""What tasks are called that a backend's event made; as in the original."""

_LOG = logging.getLogger("worker")


class WorkerService:
    """One worker of one instance."""

    def __init__(self, bus: Bus, settings: WorkerSettings, backend: Backend, store: Store) -> None:
        self._bus = bus
        self._settings = settings
        self._backend = backend
        self._core = WorkerCore(settings.name, uuid.uuid4().hex, settings.capacity)
        self._tools = Tools(
            store=store,
            backend=backend,
            hooks=Hooks(settings.hooks),
            journal=Journal(settings.state / "journal"),
            locks=VmLocks(settings.state / "locks"),
        )
        self._running: dict[TaskId, Runner] = {}
        self._triggers: dict[str, int] = {}
        self._idle = threading.Condition()
        self._threads = ThreadPoolExecutor(thread_name_prefix="vm", max_workers=THREADS_MAX)
        self._control_threads = ThreadPoolExecutor(CONTROL_THREADS, thread_name_prefix="control")
        scene = Scene(store, backend, self._tools.hooks, self._signal)
        self._control = Control(Desk(scene, self, Observers(), settings.instance))

    def start(self) -> None:
        """Find what runs, read the log, take leases, answer requests."""
        self._backend.start(self.on_change)
        instance = self._settings.instance
        self._bus.tail(instance, BEGINNING, self._on_entry, self._on_live)
        self._bus.serve(control_queue(instance), self._on_request)
        self._bus.every(HEARTBEAT_S, lambda: self._do(self._core.on_time()))
        self._bus.every(INTERVAL_S, self._tell)

    def stop(self) -> None:
        """Take no more, end what runs if it does not take long, let go of the backend; VMs run on."""
        self._bus.call_soon(lambda: self._do(self._core.on_stop()))
        with self._idle:
            self._idle.wait_for(lambda: not self._running, STOP_TIMEOUT_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._control_threads.shutdown(wait=False, cancel_futures=True)
        self._backend.stop()

    def set_capacity(self, capacity: int) -> None:
        """Execute so many VMs at a time from now on."""
        self._bus.call_soon(lambda: self._do(self._core.on_capacity(capacity)))

    def is_rebooting(self, vm: VmId) -> bool:
        """Whether a VM is between its two lives."""
        return any(runner.reboots(vm) for runner in list(self._running.values()))

    def alone(self, vm: VmId, act: Callable[[], None]) -> None:
        """Do something while nobody executes the VM."""
        with self._tools.locks.held(vm, time.sleep):
            act()

    def cancel_next(self, dbg: str, point: int) -> None:
        """DEBUG.trigger's set-cancel-trigger: the next task of that name cancels itself at that point."""
        self._triggers[dbg] = point

    def on_change(self, changed: ObjectId) -> None:
        """Something has changed by itself: tell clients, and look whether something is to be done."""
        vm = vm_of(changed)
        if vm is None:
            return
        self._append(Changed(vm=vm, changed=(changed,)))
        check = _check_of(changed)
        if check is not None:
            self._append(
                Submitted(
                    vm=vm,
                    operation=check,
                    request_id=uuid.uuid4().hex,
                    dbg=_EVENT,
                    accept_by=time.time() + CHECK_ACCEPT_S,
                )
            )

    def _append(self, record: Record) -> None:
        self._bus.append(self._settings.instance, record)

    def _on_entry(self, entry: Entry) -> None:
        self._do(self._core.on_entry(entry))

    def _on_live(self) -> None:
        """Executions that nobody leases any more and that a dead worker left are put right first."""
        effects = self._core.on_live()
        leased = {effect.lease.token for effect in effects if isinstance(effect, Run)}
        for entry in list(self._tools.journal.unfinished()):
            if entry.token not in leased:
                self._threads.submit(self._recover, entry.vm)
        self._do(effects)
        _LOG.info("worker %s: instance %s is served", self._settings.name, self._settings.instance)

    def _recover(self, vm: VmId) -> None:
        try:
            with self._tools.locks.held(vm, time.sleep):
                entry = self._tools.journal.read(vm)
                if entry is not None and entry.finished is None:
                    put_right(vm, self._tools, self._signal)
                    self._tools.journal.forget(vm)
        except XenopsError as error:
            _LOG.warning("VM %s could not be put right: %s", vm, error)

    def _signal(self, changed: ObjectId) -> None:
        vm = vm_of(changed)
        if vm is not None:
            self._append(Changed(vm=vm, changed=(changed,)))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(record):
                    self._append(record)
                case Run(lease, cancelled):
                    self._run(lease, cancelled=cancelled)
                case Cancel(task):
                    if (runner := self._running.get(task)) is not None:
                        runner.cancellation.cancel()
                case Fence(task):
                    if (runner := self._running.get(task)) is not None:
                        runner.cancellation.fence()

    def _run(self, lease: Lease, *, cancelled: bool) -> None:
        trigger = self._triggers.pop(lease.submitted.dbg, None)
        cancellation = Cancellation(lease.task, trigger)
        if cancelled:
            cancellation.cancel()
        runner = Runner(lease, self._tools, cancellation, self._append)
        self._running[lease.task] = runner
        self._threads.submit(self._run_to_its_end, lease.task, runner)

    def _run_to_its_end(self, task: TaskId, runner: Runner) -> None:
        try:
            runner.run(self._settings.name)
        finally:
            with self._idle:
                self._running.pop(task, None)
                self._idle.notify_all()

    def _tell(self) -> None:
        for runner in list(self._running.values()):
            runner.reporter.tell_if_due()

    def _on_request(self, request: Request) -> None:
        self._control_threads.submit(self._answer, request)

    def _answer(self, request: Request) -> None:
        answered = self._control.answer(request.body)
        for record in answered.records:
            self._append(record)
        if request.reply_to is not None:
            self._bus.send(request.reply_to, Request(answered.body, correlation_id=request.correlation_id))


def vm_of(changed: ObjectId) -> VmId | None:
    """The VM that an object belongs to; a task belongs to none."""
    match changed:
        case VmObject(id=vm):
            return VmId(vm)
        case TaskObject():
            return None
        case _:
            return VmId(changed.id.vm)


def _check_of(changed: ObjectId) -> Operation | None:
    match changed:
        case VmObject(id=vm):
            return VmCheckState(vm=VmId(vm))
        case VbdObject(id=vbd):
            return VbdCheckState(id=vbd)
        case VifObject(id=vif):
            return VifCheckState(id=vif)
        case PciObject(id=pci):
            return PciCheckState(id=pci)
        case VusbObject(id=vusb):
            return VusbCheckState(id=vusb)
        case VgpuObject() | TaskObject():
            return None
