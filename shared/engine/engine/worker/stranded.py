"""Stranded VMs: those under a temporary id though their migration has ended; each is tried again and again.

*Kept*, at the source: the destination has not said whether the VM has arrived. *Left over*: the VM lives on
the other side, or will, and the hypervisor has failed whenever this remainder was to be removed. *Overdue*:
the VM has arrived and could not take its own name yet; neither side goes on with it until it has.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Literal

from schema.fault import XenopsError
from schema.ids import VmId
from schema.log_records import Stranded
from schema.objects.dynamic import ObjectId
from schema.objects.vm import PowerState
from schema.operations import VmMigrate, VmReceiveMemory
from schema.records import Finished, Removed, Succeeded

from engine.journal import JournalEntry
from engine.lock import Held
from engine.migrate.address import read_url
from engine.migrate.course import Course
from engine.migrate.destination import Arrival
from engine.migrate.remains import try_to_clear
from engine.migrate.source import Departure
from engine.worker.recovery import course_of
from engine.worker.tools import Tools

LOOK_AGAIN_S = 15.0
"""How often their destinations are asked, and what could not be done is tried again."""

_LOG = logging.getLogger(__name__)


class StrandedVms:
    """All of this host, by its journal; whichever of its workers locks one first sees to it."""

    def __init__(self, tools: Tools, signal: Callable[[ObjectId], None]) -> None:
        self._tools = tools
        self._signal = signal
        self._asking: set[VmId] = set()
        self._told: set[VmId] = set()
        self._standing: dict[VmId, Stranded] = {}

    def standing(self) -> tuple[Stranded, ...]:
        """What was there when it was looked last."""
        return tuple(self._standing.values())

    def recall(self) -> None:
        """Name what stands here since before this worker's life, and ask nobody yet; of the store it asks."""
        for vm in self._tools.journal.kept():
            entry = self._tools.journal.read(vm)
            try:
                if entry is not None and self._stands(entry):
                    self._tell(entry)
            except XenopsError as error:
                _LOG.warning("whether VM %s stands here still is not known: %s", vm, error)

    def _stands(self, entry: JournalEntry) -> bool:
        """An arrival that has not ended is put right just now; one that nothing is left of is removed."""
        if entry.is_kept or entry.left_over:
            return True
        return entry.finished is not None and self._tools.store.exists(entry.vm)

    def look(self) -> None:
        """Ask what has become of each, take it away, or give it its name, in threads."""
        kept = self._tools.journal.kept()
        for vm in set(self._standing).difference(kept):
            self._standing.pop(vm, None)
        for vm in kept:
            if vm not in self._asking:
                self._asking.add(vm)
                self._tools.threads.begin(partial(self._look_at, vm))

    def _look_at(self, vm: VmId) -> None:
        """Of one, by its temporary id."""
        try:
            with self._tools.locks.held(vm, self._tools.threads.sleep) as held:
                entry = self._tools.journal.read(vm)
                if entry is not None and self._is_over(entry, held):
                    self._tools.journal.let_go(entry)
                    self._standing.pop(vm, None)
        except XenopsError as error:
            _LOG.warning("VM %s is kept on: %s", vm, error)
        finally:
            self._asking.discard(vm)

    def _is_over(self, entry: JournalEntry, held: Held) -> bool:
        """Whether what is noted came to its end just now; not so if another was faster."""
        vm, course = entry.vm, course_of(entry, self._tools, held, self._signal)
        if entry.left_over:
            self._tell(entry)
            return self._is_cleared(entry, course.silent_about(vm))
        if isinstance(entry.operation, VmReceiveMemory) and entry.is_overdue:
            self._arrive(entry, entry.operation, course)
        if not isinstance(entry.operation, VmMigrate) or not entry.is_kept:
            return False
        self._tell(entry)
        return Departure(entry.operation, course).look_again()

    def _arrive(self, entry: JournalEntry, operation: VmReceiveMemory, course: Course) -> None:
        """Noted as its end, for whoever may still have its lease: what is asked for from now on is new."""
        vm, final = entry.vm, operation.final
        if not self._tools.store.exists(vm):
            return
        self._tell(entry)
        if self._is_there_anew(vm, final):
            if self._is_cleared(entry, course.silent_about(vm)):
                self._standing.pop(vm, None)
            return
        Arrival(operation, course, self._tools.offers).take_over()
        outcome = Finished(vm=vm, task=entry.task, outcome=Succeeded(), token=entry.token)
        self._tools.journal.end(entry, outcome)
        self._standing.pop(vm, None)

    def _is_there_anew(self, vm: VmId, final: VmId) -> bool:
        """Whether somebody has configured it meanwhile: that one counts. A domain takes its name first."""
        store, verbs = self._tools.store, self._tools.backend.vm
        state = verbs.get_state(store.read(vm)).power_state
        return final != vm and store.exists(final) and state is not PowerState.HALTED

    @staticmethod
    def _is_cleared(entry: JournalEntry, course: Course) -> bool:
        """Of an arrival, which anybody may have asked for meanwhile, clients are told."""
        is_cleared = try_to_clear(entry.vm, course)
        if is_cleared and not entry.is_kept:
            course.append(Removed(vm=entry.vm))
        return is_cleared

    def _tell(self, entry: JournalEntry) -> None:
        """Operators, by each sign of life, and by a line of the log in each life of a worker."""
        stranded = _stranded(entry)
        self._standing[stranded.vm] = stranded
        if stranded.vm not in self._told:
            self._told.add(stranded.vm)
            _LOG.warning("%s", _words(stranded))


def _stranded(entry: JournalEntry) -> Stranded:
    """As it is told; of where it came from nothing is known at a destination."""
    state: Literal["kept", "left over", "overdue"] = "overdue"
    if entry.left_over:
        state = "left over"
    elif entry.is_kept:
        state = "kept"
    match entry.operation:
        case VmMigrate(vm=of, url=url):
            return Stranded(vm=entry.vm, of=of, state=state, where=str(read_url(url).endpoint))
        case VmReceiveMemory(final=of):
            return Stranded(vm=entry.vm, of=of, state=state)
        case _:
            return Stranded(vm=entry.vm, of=entry.vm, state=state)


def _words(stranded: Stranded) -> str:
    match stranded.state:
        case "left over":
            return f"VM {stranded.vm} is left over here from a migration: it is tried to take it away"
        case "kept":
            where = f"until {stranded.where} says whether it runs there"
            return f"VM {stranded.of} stands still here as {stranded.vm} {where}"
        case "overdue":
            return f"VM {stranded.of} has arrived here as {stranded.vm}, and could not take its name yet"
