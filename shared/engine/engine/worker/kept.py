"""Kept: VMs under temporary ids: of some nobody knows whether they have arrived, others are only left over.

A left over one lives on the other side, or shall: a hypervisor has failed as often as it was to take it away.
"""

import logging
from collections.abc import Callable
from functools import partial

from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.dynamic import ObjectId
from schema.operations import VmMigrate
from schema.records import Removed

from engine.journal import JournalEntry
from engine.lock import Held
from engine.migrate.address import read_url
from engine.migrate.course import Course
from engine.migrate.remains import try_to_clear
from engine.migrate.source import Departure
from engine.worker.righting import course_of
from engine.worker.tools import Tools

LOOK_AGAIN_S = 15.0
"""How often their destinations are asked, and it is tried again to take away what is left over."""

_LOG = logging.getLogger(__name__)


class Kept:
    """All of this host's, by its journal; whichever of its workers comes first asks."""

    def __init__(self, tools: Tools, signal: Callable[[ObjectId], None]) -> None:
        self._tools = tools
        self._signal = signal
        self._asking: set[VmId] = set()
        self._told: set[VmId] = set()

    def look(self) -> None:
        """Ask what has become of each, or take it away, in threads."""
        for vm in self._tools.journal.kept():
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
        except XenopsError as error:
            _LOG.warning("VM %s is kept on: %s", vm, error)
        finally:
            self._asking.discard(vm)

    def _is_over(self, entry: JournalEntry, held: Held) -> bool:
        """Whether what is noted came to its end just now; not so if another was faster."""
        vm, course = entry.vm, course_of(entry, self._tools, held, self._signal)
        if entry.left_over:
            self._tell_once(vm, f"VM {vm} is left over here from a migration: it is tried to take it away")
            return self._is_cleared(entry, course.silent_about(vm))
        if not isinstance(entry.operation, VmMigrate) or not entry.is_kept:
            return False
        where, migrated = read_url(entry.operation.url).endpoint, entry.operation.vm
        self._tell_once(
            vm, f"VM {migrated} stands still here as {vm} until {where} says whether it runs there"
        )
        return Departure(entry.operation, course).look_again()

    @staticmethod
    def _is_cleared(entry: JournalEntry, course: Course) -> bool:
        """Of an arrival, which anybody may have asked for meanwhile, clients are told."""
        is_cleared = try_to_clear(entry.vm, course)
        if is_cleared and not entry.is_kept:
            course.append(Removed(vm=entry.vm))
        return is_cleared

    def _tell_once(self, vm: VmId, words: str) -> None:
        """In each life of a worker: no list of VMs has one that departs."""
        if vm not in self._told:
            self._told.add(vm)
            _LOG.warning("%s", words)
