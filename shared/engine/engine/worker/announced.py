"""Announced VMs: their metadata came from a migration's source, and nothing else did; they are forgotten.

A source takes back what it has announced if it gives up. One that has died cannot, nor one that gives up
while nobody is here to be told; and an import that a lost log had may be written once more after it was taken
back. Of such a VM there is nothing here but metadata: it lives on its source, if anywhere.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from schema.atomics.vm import VmRemove
from schema.fault import XenopsError
from schema.ids import LeaseToken, VmId
from schema.objects.dynamic import ObjectId
from schema.objects.vm import PowerState
from schema.records import Removed

from engine.journal import JournalEntry
from engine.lock import Held
from engine.plan.groups import do
from engine.worker.recovery import course_of
from engine.worker.tools import Tools

ANNOUNCED_S = 300.0
"""How long a source may take from there to its first connection; a guest's balloon has two minutes of it.

Should one take longer its migration fails, and the VM stays where it is.
"""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Which lease an announcement was noted under, and when this worker is to forget it: never twice."""

    life: float
    token: LeaseToken
    due: float

    def is_of(self, entry: JournalEntry) -> bool:
        """Whether nothing was done with that VM since."""
        return (entry.life, entry.token) == (self.life, self.token)


class AnnouncedVms:
    """All of this host, by its journal; `is_expected`: whether a task of a VM waits or runs."""

    def __init__(
        self, tools: Tools, signal: Callable[[ObjectId], None], is_expected: Callable[[VmId], bool]
    ) -> None:
        self._tools = tools
        self._signal = signal
        self._is_expected = is_expected
        self._seen: dict[VmId, _Seen] = {}
        self._forgetting: set[VmId] = set()

    def look(self) -> None:
        """Forget those that were announced long ago, in threads; their time begins when they are seen."""
        now = self._tools.threads.clock.monotonic()
        announced = {entry.vm: entry for entry in self._tools.journal.announced()}
        for vm in set(self._seen).difference(announced):
            del self._seen[vm]
        for vm, entry in announced.items():
            seen = self._seen.get(vm)
            if seen is None or not seen.is_of(entry):
                self._seen[vm] = seen = _Seen(entry.life, entry.token, now + ANNOUNCED_S)
            is_due = now >= seen.due and vm not in self._forgetting
            if is_due and not self._is_expected(vm):
                self._forgetting.add(vm)
                self._tools.threads.begin(partial(self._forget, vm, seen))

    def _forget(self, vm: VmId, seen: _Seen) -> None:
        try:
            with self._tools.locks.held(vm, self._tools.threads.sleep) as held:
                entry = self._tools.journal.read(vm)
                if entry is not None and entry.is_announced and seen.is_of(entry):
                    self._remove(entry, held)
            self._seen[vm] = replace(seen, due=math.inf)
        except XenopsError as error:
            _LOG.warning("VM %s was announced, and cannot be forgotten yet: %s", vm, error)
        finally:
            self._forgetting.discard(vm)

    def _remove(self, entry: JournalEntry, held: Held) -> None:
        """If it has a domain, or an image, it was not only announced."""
        vm, tools = entry.vm, self._tools
        if not tools.store.exists(vm):
            return
        if tools.backend.vm.get_state(tools.store.read(vm)).power_state is not PowerState.HALTED:
            return
        _LOG.warning("VM %s was announced by a migration's source and did not come: it is forgotten", vm)
        course = course_of(entry, tools, held, self._signal).silent_about(vm)
        course.perform("forget a VM that was announced", do(VmRemove(vm=vm)))
        tools.append(Removed(vm=vm))
