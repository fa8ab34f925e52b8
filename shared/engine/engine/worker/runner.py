"""Runner: executes one lease from beginning to end: lock, journal, plan, owed checks, the final record."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bus.crash import CrashKind
from bus.logs import Concern, about
from schema.atomics.vm import VmImportMetadata
from schema.debug_info import trace_of
from schema.fault import XenopsError
from schema.ids import VmId, WorkerName
from schema.objects.dynamic import VmObject
from schema.objects.errors import Error, InternalError
from schema.operations import AtomicOperation, Operation, VmCheckState, VmMigrate, VmReboot, VmReceiveMemory
from schema.records import Failed, Finished, Outcome, Removed, Succeeded
from traces import current_span

from engine.admit import Refuse, admit
from engine.cancellation import Cancellation
from engine.check import remedies
from engine.execute import Executor, Perform
from engine.journal import FencedError, JournalEntry
from engine.lock import Held
from engine.migrate.course import Course
from engine.migrate.destination import Arrival
from engine.migrate.source import Departure
from engine.owed import owed_checks
from engine.perform import Performer
from engine.plan import VmView, plan
from engine.sharing import told
from engine.worker.backtrace import backtrace_of
from engine.worker.core import Lease
from engine.worker.crashing import Crashing
from engine.worker.delay import delay_s, is_delay, wanted_delay_s
from engine.worker.recovery import (
    course_of,
    crashed,
    note_end,
    perform_check,
    put_right,
    removes,
    shut_down,
    tell_again,
)
from engine.worker.reporter import Reporter, Telling
from engine.worker.spans import execution_start, fail_span, spanned
from engine.worker.tools import Tools
from engine.worker.viewing import view_of

NOT_BEGUN_AGAIN = "it may have been begun before the log lost its end, and is not begun again"
"""Why a task fails that may have been done under a lease that the log has lost."""

_LOG = logging.getLogger(__name__)
_WORKER = logging.getLogger("worker")


class Runner:
    """One execution.

    `until`: it was begun before and has waited since, until then, in seconds since the epoch.
    """

    def __init__(
        self, lease: Lease, tools: Tools, cancellation: Cancellation, *, until: float | None = None
    ) -> None:
        self.lease = lease
        self._crash = Crashing(tools.crash, lease.submitted.dbg)
        self._tools = replace(tools, store=self._crash.store(tools.store))
        self.cancellation = cancellation
        self._append = tools.append
        self._clock = tools.threads.clock
        self.reporter = Reporter(lease, cancellation, Telling(tools.append, self._clock, tools.running))
        self._vm = lease.submitted.vm
        self.reboot = False
        self.begun = self._clock.monotonic()
        self._until = until

    def reboots(self, vm: VmId) -> bool:
        """Whether this is a reboot of that VM, asked for or found due by a check."""
        return vm == self._vm and self.reboot

    def run(self, worker: WorkerName) -> float | None:
        """Execute the lease; what comes of it is in the log afterwards, but for a lease that is fenced.

        Or answer for how many seconds it wants to be left alone first, holding nothing: then call it again.
        """
        with about(self._concern), self._tools.tracer.within(execution_start(self.lease, worker)):
            return self._run(worker)

    def _concern(self) -> Concern:
        lease = self.lease
        return Concern(lease.task, self._vm, trace_of(lease.traceparent or lease.submitted.traceparent))

    def _run(self, worker: WorkerName) -> float | None:
        try:
            is_left = self._is_left()
            if not is_left and (pause_s := self._pause_s()) > 0:
                return pause_s
            wait = self._tools.threads.sleep if is_left else self.cancellation.wait
            with self._tools.locks.held(self._vm, wait) as held:
                self._run_locked(worker, held)
        except XenopsError as error:  # of the lock or the journal: nothing was begun
            self._append(self._finished(Failed(error=error.error)))
        except Exception as error:  # noqa: BLE001  a thread's top: a task must end, whatever happens
            _LOG.exception("task %d, VM %s: a bug", self.lease.task, self._vm)
            self._append(self._finished(Failed(error=_unforeseen(error))))
        return None

    def _is_left(self) -> bool:
        """Whether this lease was begun by a worker that died: what it left is put right, cancelled or not."""
        last = self._tools.journal.read(self._vm)
        return last is not None and last.finished is None and self._leased_as(last)

    def _leased_as(self, entry: JournalEntry) -> bool:
        """Whether it was begun under this lease, or an earlier one that the log has lost with its end."""
        lease = self.lease
        asked = (entry.task, entry.request_id) == (lease.task, lease.submitted.request_id)
        return entry.life == lease.life and (asked or entry.token == lease.token)

    def _is_lost(self, entry: JournalEntry) -> bool:
        """Whether the log has lost the lease under which the VM was executed last, with its end.

        Whoever leads may not know that yet. What is kept of a VM that has left bears another one's lease.
        """
        is_comparable = entry.life == self.lease.life and not entry.is_kept
        return is_comparable and entry.token < self.lease.token and self.lease.before.lacks(entry.token)

    def _pause_s(self) -> float:
        """How long to wait now: what a first step wants, less what has passed since."""
        if self._until is None:
            wanted_s = self._first_delay_s(self.lease.submitted.operation)
            if not wanted_s > 0:
                return 0.0
            self.cancellation.check()
            self._until = self._clock.now() + wanted_s
        self.cancellation.look()  # nothing was begun: a cancel leaves nothing to be put right
        return self._until - self._clock.now()

    def _first_delay_s(self, operation: Operation) -> float:
        if not isinstance(operation, VmCheckState):
            return delay_s(operation)
        try:
            return wanted_delay_s(operation, view_of(operation, self._vm, self._tools))
        except XenopsError:
            return 0.0  # what fails here fails again, and is told, when it is executed

    def _run_locked(self, worker: WorkerName, held: Held) -> None:
        journal = self._tools.journal
        last = journal.read(self._vm)
        outcome: Outcome = crashed(worker)
        if last is not None and last.finished is None and not last.is_kept:
            outcome = put_right(last, self._tools, held, self.reporter.signal) or outcome
            held.regain(self._vm, self._tools.threads.sleep)
            last = journal.now(last)
            if last.finished is None and not self._leased_as(last):
                last = note_end(last, outcome, self._tools)  # we may not be begun, and leave it at that
        if last is not None and self._is_lost(last):
            last = journal.note_loss(last)
        if last is not None and self._leased_as(last):
            if last.finished is not None:
                tell_again(last, self._tools)
            under = {"token": self.lease.token}
            finished = last.finished or self._finished(outcome)
            self._end(last.model_copy(update=under), finished.model_copy(update=under), held)
            return
        entry = self._entry(last)
        if entry.lost is not None and entry.task < entry.lost:
            self._refuse(NOT_BEGUN_AGAIN)
            return
        if last is not None and last.finished is not None and not journal.has_ended(last):
            tell_again(last, self._tools)  # who executed that may have died before it said so
        try:
            with self._crash.around(CrashKind.JOURNAL, "begin"):
                journal.begin(entry)
        except FencedError as error:  # its task has ended long ago, or does now if the log has lost that
            self._refuse(str(error))
            return
        self.reporter.begin(worker, tell=self._until is not None)
        self._end(entry, self._finished(self._outcome(entry, held)), held)

    def _entry(self, last: JournalEntry | None) -> JournalEntry:
        """What is left over of a migration stays noted as such while it is only tried to remove it."""
        lease = self.lease
        return JournalEntry(
            vm=self._vm,
            task=lease.task,
            token=lease.token,
            life=lease.life,
            operation=lease.submitted.operation,
            request_id=lease.submitted.request_id,
            lost=None if last is None or last.life != lease.life else last.lost,
            arrived=last is not None and last.tells_of_arrival,
            left_over=last is not None and last.left_over and removes(lease.submitted.operation),
        )

    def _refuse(self, why: str) -> None:
        """Of what was done, or may have been; in an intact log nobody leases it."""
        _LOG.warning("task %d of VM %s is not executed: %s", self.lease.task, self._vm, why)
        error = InternalError(
            message=f"task {self.lease.task} of VM {self._vm}: {why}; look at the VM's state"
        )
        self._append(self._finished(Failed(error=error)))

    def _end(self, entry: JournalEntry, finished: Finished, held: Held) -> None:
        try:
            held.regain(self._vm, self._tools.threads.sleep)
            with self._crash.around(CrashKind.JOURNAL, "end"):
                self._tools.journal.end(entry, finished)
        except XenopsError as error:
            _LOG.error("%s", error)
        if isinstance(finished.outcome, Failed):  # its kind alone: it may tell a secret of its client's
            kind = finished.outcome.error.kind
            _WORKER.info("%s of VM %s has failed: %s", entry.operation.kind, self._vm, kind)
        self._append(finished)
        if removes(entry.operation) and isinstance(finished.outcome, Succeeded):
            self._append(Removed(vm=self._vm))

    def _finished(self, outcome: Outcome) -> Finished:
        span = current_span()
        return Finished(
            vm=self._vm,
            task=self.lease.task,
            outcome=outcome,
            token=self.lease.token,
            duration_s=self._clock.monotonic() - self.begun,
            debug_info=self.reporter.debug_info(),
            changed=self.reporter.rest(),
            traceparent=self.lease.traceparent if span is None else span.traceparent,
            atoms=self.reporter.atoms(),
        )

    def _outcome(self, entry: JournalEntry, held: Held) -> Outcome:
        try:
            return Succeeded(result=self._perform(entry, held))
        except XenopsError as error:
            fail_span(error)
            return Failed(error=error.error, backtrace=backtrace_of(error))
        except Exception as error:  # noqa: BLE001  a bug: told to the client as the original tells its own
            fail_span(error)
            _LOG.exception("task %d, VM %s: a bug", self.lease.task, self._vm)
            return Failed(error=_unforeseen(error), backtrace=backtrace_of(error))

    def _perform(self, entry: JournalEntry, held: Held) -> Any:
        operation = entry.operation
        if is_delay(operation):
            return None
        if isinstance(operation, VmReceiveMemory):
            Arrival(operation, self._course(entry, held), self._tools.offers).run()
            return None
        view = view_of(operation, self._vm, self._tools)
        admission = admit(operation, view.situation.power_state)
        if isinstance(admission, Refuse):
            raise XenopsError(admission.error)
        result: Any = None
        try:
            if isinstance(operation, VmMigrate):
                Departure(operation, self._course(entry, held)).run()
            else:
                with self._sharing_told(operation):
                    result = self._execute(operation, view)
        except Exception:
            self._perform_owed(operation, held)
            if not isinstance(operation, VmMigrate | AtomicOperation):
                self.reporter.signal(VmObject(id=self._vm))  # it may stand where its plan has left it
            raise
        self.reporter.signal(VmObject(id=self._vm))
        return result

    @contextmanager
    def _sharing_told(self, operation: Operation) -> Iterator[None]:
        """Metadata that comes may change with whom the VM takes turns."""
        if not (isinstance(operation, AtomicOperation) and isinstance(operation.atomic, VmImportMetadata)):
            yield
            return
        vgpus = self._tools.store.vgpus
        before = vgpus.list(self._vm)
        yield
        for record in told(self._vm, before, vgpus.list(self._vm)):
            self._append(record)

    def _course(self, entry: JournalEntry, held: Held) -> Course:
        course = course_of(entry, self._tools, held, self.reporter.signal)
        return replace(
            course,
            cancellation=self.cancellation,
            progress=self.reporter.progress,
            dbg=self.lease.submitted.dbg,
            note_handover=partial(self._note_handover, course.note_handover),
            spanning=self._around_steps,
        )

    def _note_handover(self, note: Callable[[], None]) -> None:
        with self._crash.around(CrashKind.JOURNAL, "hand over"):
            note()

    def _around_steps(self, perform: Perform) -> Perform:
        return self.reporter.noted(self._crash.steps(spanned(perform, self._tools.tracer)))

    def _execute(self, operation: Operation, view: VmView) -> Any:
        tools = self._tools
        performer = Performer(tools.context(self.reporter.signal))
        self.reboot = _includes_reboot(operation, view)
        try:
            return Executor(
                plan(operation, view),
                self._around_steps(performer.perform),
                self.cancellation,
                self.reporter.progress,
                branches=self._tools.branches,
            ).run()
        finally:
            self.reboot = False

    def _perform_owed(self, operation: Operation, held: Held) -> None:
        """A migration that has failed has left the VM here or there: only what is here can be looked at."""
        if isinstance(operation, VmCheckState):
            shut_down(self._vm, self._tools, self.reporter.signal)
        for check in owed_checks(operation):
            is_here = check == VmCheckState(vm=self._vm) and self._vm in held
            if is_here or not isinstance(operation, VmMigrate):
                perform_check(check, self._vm, self._tools, self.reporter.signal)


def _includes_reboot(operation: Operation, view: VmView) -> bool:
    if isinstance(operation, VmReboot):
        return True
    if not isinstance(operation, VmCheckState):
        return False
    return any(isinstance(remedy, VmReboot) for remedy in remedies(operation, view))


def _unforeseen(error: Exception) -> Error:
    """The error in letters that a record can hold, whatever it speaks of."""
    sentence = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()
    return InternalError(message=sentence)
