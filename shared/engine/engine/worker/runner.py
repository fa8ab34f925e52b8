"""Runner: executes one lease from beginning to end: lock, journal, plan, owed checks, the final record."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schema.atomics.vm import VmImportMetadata
from schema.fault import XenopsError
from schema.ids import TaskId, VmId
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import Error, InternalError
from schema.objects.vm import PowerState
from schema.operations import (
    AtomicOperation,
    Operation,
    PciCheckState,
    VbdCheckState,
    VifCheckState,
    VmCheckState,
    VmReboot,
    VusbCheckState,
)
from schema.records import Failed, Finished, Outcome, Record, Started, Succeeded

from engine.admit import Refuse, admit
from engine.backend import Backend, Devices
from engine.cancellation import Cancellation
from engine.check import remedies
from engine.execute import Executor
from engine.hooks import Hooks
from engine.journal import FencedError, Journal, JournalEntry
from engine.lock import VmLocks
from engine.owed import owed_checks
from engine.perform import Performer
from engine.perform.scene import Scene
from engine.plan import DeviceRequest, Situation, VmView, plan
from engine.store import Store
from engine.worker.backtrace import backtrace_of
from engine.worker.core import Lease
from engine.worker.reporter import Reporter

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What every execution of a worker uses."""

    store: Store
    backend: Backend
    hooks: Hooks
    journal: Journal
    locks: VmLocks


class Runner:
    """One execution. `append` writes to the instance's log, from any thread."""

    def __init__(
        self, lease: Lease, tools: Tools, cancellation: Cancellation, append: Callable[[Record], None]
    ) -> None:
        self._lease = lease
        self._tools = tools
        self.cancellation = cancellation
        self._append = append
        self.reporter = Reporter(lease, cancellation, append)
        self._vm = lease.submitted.vm
        self.reboot = False
        self.begun = time.monotonic()

    def reboots(self, vm: VmId) -> bool:
        """Whether this is a reboot of that VM, asked for or found due by a check."""
        return vm == self._vm and self.reboot

    def run(self, worker: str) -> None:
        """Execute the lease; what comes of it is in the log afterwards, but for a lease that is fenced."""
        try:
            with self._tools.locks.held(self._vm, self.cancellation.wait):
                self._run_locked(worker)
        except XenopsError as error:  # of the lock or the journal: nothing was begun
            self._append(self._finished(Failed(error=error.error)))
        except Exception as error:  # noqa: BLE001  a thread's top: a task must end, whatever happens
            _LOG.exception("task %d, VM %s: a bug", self._lease.task, self._vm)
            self._append(self._finished(Failed(error=_unforeseen(error))))

    def _run_locked(self, worker: str) -> None:
        lease, journal = self._lease, self._tools.journal
        entry = JournalEntry(
            vm=self._vm, task=lease.task, token=lease.token, operation=lease.submitted.operation
        )
        last = journal.read(self._vm)
        if last is not None and last.finished is None:
            put_right(self._vm, self._tools, self.reporter.signal)
        if last is not None and last.token == lease.token:
            self._end(entry, last.finished or self._finished(_crashed(worker)))
            return
        try:
            journal.begin(entry)
        except FencedError as error:
            _LOG.warning("%s; it is not executed", error)
            return
        self._append(Started(vm=self._vm, task=lease.task, token=lease.token, worker=worker))
        self._end(entry, self._finished(self._outcome(lease.submitted.operation)))

    def _end(self, entry: JournalEntry, finished: Finished) -> None:
        try:
            self._tools.journal.end(entry, finished)
        except XenopsError as error:
            _LOG.error("%s", error)
        self._append(finished)

    def _finished(self, outcome: Outcome) -> Finished:
        return Finished(
            vm=self._vm,
            task=self._lease.task,
            outcome=outcome,
            token=self._lease.token,
            duration_s=time.monotonic() - self.begun,
            debug_info=self.reporter.debug_info(),
            changed=self.reporter.rest(),
        )

    def _outcome(self, operation: Operation) -> Outcome:
        try:
            return Succeeded(result=self._perform(operation))
        except XenopsError as error:
            return Failed(error=error.error, backtrace=backtrace_of(error))
        except Exception as error:  # noqa: BLE001  a bug: told to the client as the original tells its own
            _LOG.exception("task %d, VM %s: a bug", self._lease.task, self._vm)
            return Failed(error=_unforeseen(error), backtrace=backtrace_of(error))

    def _perform(self, operation: Operation) -> Any:
        view = view_of(operation, self._vm, self._tools)
        admission = admit(operation, view.situation.power_state)
        if isinstance(admission, Refuse):
            raise XenopsError(admission.error)
        try:
            result = self._execute(operation, view)
        except Exception:
            self._perform_owed(operation)
            raise
        self.reporter.signal(VmObject(id=self._vm))
        return result

    def _execute(self, operation: Operation, view: VmView) -> Any:
        performer = _performer(self._tools, self.reporter.signal)
        self.reboot = _includes_reboot(operation, view)
        try:
            return Executor(
                plan(operation, view), performer.perform, self.cancellation, self.reporter.progress
            ).run()
        finally:
            self.reboot = False

    def _perform_owed(self, operation: Operation) -> None:
        for check in owed_checks(operation):
            perform_check(check, self._vm, self._tools, self.reporter.signal)


def put_right(vm: VmId, tools: Tools, signal: Callable[[ObjectId], None]) -> None:
    """A worker died while it executed this VM: do what the domain asks for, so that it is intact or gone."""
    _LOG.warning("VM %s: a worker died while it executed it; it is put right", vm)
    perform_check(VmCheckState(vm=vm), vm, tools, signal)
    signal(VmObject(id=vm))


def perform_check(check: Operation, vm: VmId, tools: Tools, signal: Callable[[ObjectId], None]) -> None:
    """Perform a check that is owed; what fails of it is logged, for an earlier failure is what matters."""
    try:
        view = view_of(check, vm, tools)
        performer = _performer(tools, signal)
        Executor(plan(check, view), performer.perform, Cancellation(_NO_TASK), lambda _: None).run()
    except XenopsError as error:
        _LOG.warning("VM %s: %s failed: %s", vm, check.kind, error)
    except Exception:  # noqa: BLE001  a bug here must not hide the failure before it
        _LOG.exception("VM %s: %s: a bug", vm, check.kind)


_NO_TASK = TaskId(-1)


def _performer(tools: Tools, signal: Callable[[ObjectId], None]) -> Performer:
    return Performer(Scene(tools.store, tools.backend, tools.hooks, signal))


def view_of(operation: Operation, vm: VmId, tools: Tools) -> VmView:
    """All that planning needs to know. Errors: `Does_not_exist` for an unknown VM."""
    if isinstance(operation, AtomicOperation) and isinstance(operation.atomic, VmImportMetadata):
        return VmView(operation.atomic.metadata.vm, Devices())
    found = tools.store.read(vm)
    state = tools.backend.vm.get_state(found)
    situation = Situation(
        power_state=state.power_state,
        domain_asks=tools.backend.vm.get_domain_action_request(found),
        device_asks=_device_asks(operation, vm, state.power_state, tools),
        run_time_s=max(0.0, time.time() - state.last_start_time),
        minimum_reboot_delay_s=tools.backend.vm.minimum_reboot_delay_s,
    )
    return VmView(found, tools.store.devices(vm), situation)


def _device_asks(operation: Operation, vm: VmId, state: PowerState, tools: Tools) -> DeviceRequest | None:
    """What the device that a check is about wants; one of a VM that is not alive is not asked."""
    if state not in (PowerState.RUNNING, PowerState.PAUSED):
        return None
    store, backend = tools.store, tools.backend
    match operation:
        case VbdCheckState(id=vbd):
            disk = store.vbds.read(vbd)
            if backend.vbd.wants_unplug(vm, disk):
                return DeviceRequest.UNPLUG
            return DeviceRequest.SET_QOS if backend.vbd.wants_qos(vm, disk) else None
        case VifCheckState(id=vif):
            wants = backend.vif.wants_unplug(vm, store.vifs.read(vif))
        case PciCheckState(id=pci):
            wants = backend.pci.wants_unplug(vm, store.pcis.read(pci))
        case VusbCheckState(id=vusb):
            wants = backend.vusb.wants_unplug(vm, store.vusbs.read(vusb))
        case _:
            return None
    return DeviceRequest.UNPLUG if wants else None


def _includes_reboot(operation: Operation, view: VmView) -> bool:
    if isinstance(operation, VmReboot):
        return True
    if not isinstance(operation, VmCheckState):
        return False
    return any(isinstance(remedy, VmReboot) for remedy in remedies(operation, view))


def _crashed(worker: str) -> Failed:
    sentence = f"worker {worker} was restarted while it executed this; the VM was put right: look at it"
    return Failed(error=InternalError(message=sentence))


def _unforeseen(error: Exception) -> Error:
    return InternalError(message=f"{type(error).__name__}: {error}")
