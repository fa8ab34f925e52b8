"""Removed VMs: the journal keeps the newest ones' last leases, so that an older lease is still refused."""

import logging
from collections import OrderedDict

from schema.fault import XenopsError
from schema.ids import VmId

from engine.worker.tools import Tools

REMOVED_KEPT = 1_000
"""How many removed VMs stay in the journal.

A worker that stood still, or reads its log late, may come with an old lease of a VM that has been removed and
added again: only the journal can refuse it.
"""

_LOG = logging.getLogger("worker")


class RemovedVms:
    """The last VMs that were removed from this host, oldest first."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._vms: OrderedDict[VmId, None] = OrderedDict()

    def note(self, vm: VmId) -> list[VmId]:
        """A VM is no more; answers those that there is no room for any more."""
        self._vms[vm] = None
        self._vms.move_to_end(vm)
        return [self._vms.popitem(last=False)[0] for _ in range(len(self._vms) - REMOVED_KEPT)]

    def forget(self, vm: VmId) -> None:
        """Let go of what was noted of one, unless it is back; waits for its lock."""
        try:
            with self._tools.locks.held(vm, self._tools.threads.sleep):
                if not self._tools.store.exists(vm):
                    self._tools.journal.forget_ended(vm)
        except XenopsError as error:
            _LOG.warning("what was noted of VM %s stays until the next start: %s", vm, error)

    def forget_earlier(self, busy: set[VmId]) -> None:
        """What earlier lives of this worker noted of VMs that are no more, but for the last of them."""
        ended = dict.fromkeys(self._tools.journal.ended())
        for vm in {**ended, **dict.fromkeys(self._tools.locks.names())}:
            try:
                is_gone = vm not in busy and not self._tools.store.exists(vm)
            except XenopsError as error:
                _LOG.warning("whether VM %s is no more is not known: %s", vm, error)
                return
            if is_gone:
                self._tools.locks.forget(vm)
                for oldest in self.note(vm) if vm in ended else ():
                    self._tools.journal.forget_ended(oldest)
