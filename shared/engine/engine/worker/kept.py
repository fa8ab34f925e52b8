"""Kept: VMs that were handed to a destination which has not said since whether it has them."""

import logging
from collections.abc import Callable
from functools import partial

from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.dynamic import ObjectId
from schema.operations import VmMigrate

from engine.migrate.address import read_url
from engine.migrate.source import Departure
from engine.worker.righting import course_of
from engine.worker.tools import Tools

LOOK_AGAIN_S = 15.0
"""How often their destinations are asked."""

_LOG = logging.getLogger(__name__)


class Kept:
    """All of this host's, by its journal; whichever of its workers comes first asks."""

    def __init__(self, tools: Tools, signal: Callable[[ObjectId], None]) -> None:
        self._tools = tools
        self._signal = signal
        self._asking: set[VmId] = set()
        self._told: set[VmId] = set()

    def look(self) -> None:
        """Ask what has become of each, in threads."""
        for vm in self._tools.journal.kept():
            if vm not in self._asking:
                self._asking.add(vm)
                self._tools.threads.begin(partial(self._look_at, vm))

    def _look_at(self, vm: VmId) -> None:
        """Of one, by its departing id."""
        try:
            with self._tools.locks.held(vm, self._tools.threads.sleep) as held:
                entry = self._tools.journal.read(vm)
                if entry is None or not entry.is_kept or not isinstance(entry.operation, VmMigrate):
                    return  # another was faster
                self._tell_once(vm, entry.operation)
                course = course_of(entry, self._tools, held, self._signal)
                if Departure(entry.operation, course).look_again():
                    self._tools.journal.let_go(vm)
        except XenopsError as error:
            _LOG.warning("VM %s is kept on: %s", vm, error)
        finally:
            self._asking.discard(vm)

    def _tell_once(self, vm: VmId, migration: VmMigrate) -> None:
        """In each life of a worker: no list of VMs has it."""
        if vm not in self._told:
            self._told.add(vm)
            where = read_url(migration.url).endpoint
            _LOG.warning(
                "VM %s stands still here as %s until %s says whether it runs there", migration.vm, vm, where
            )
