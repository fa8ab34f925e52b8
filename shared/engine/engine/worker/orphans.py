"""Orphans: executions whose worker has died, or was declared lost; the worker that is here ends them."""

import logging

from schema.fault import XenopsError
from schema.ids import TaskId, VmId, WorkerName
from schema.records import Finished

from engine.worker.recovery import Signal, crashed, note_end, put_right, tell_again
from engine.worker.tools import Tools

_LOG = logging.getLogger("worker")


class Orphans:
    """Those in the journal of this host; `worker` is the one that sees to them."""

    def __init__(self, worker: WorkerName, tools: Tools, signal: Signal) -> None:
        self._worker = worker
        self._tools = tools
        self._signal = signal

    def put_right(self, vm: VmId, task: TaskId) -> None:
        """Bring what a dead worker left of a task to its end, unless another has; waits for the VM's lock."""
        try:
            with self._tools.locks.held(vm, self._tools.threads.sleep) as held:
                entry = self._tools.journal.read(vm)
                if entry is not None and entry.finished is None and entry.task == task:
                    outcome = put_right(entry, self._tools, held, self._signal)
                    held.regain(vm)
                    now = self._tools.journal.now(entry)
                    if now.finished is None:
                        note_end(entry, outcome or crashed(self._worker), self._tools)
                    else:
                        tell_again(now, self._tools)  # who ended it may have died before it said so
        except XenopsError as error:
            level = logging.WARNING if self._is_open(vm, task) else logging.INFO
            _LOG.log(level, "VM %s could not be put right: %s", vm, error)

    def _is_open(self, vm: VmId, task: TaskId) -> bool:
        """Whether nobody has ended a task yet, a later one of its VM for example."""
        entry = self._tools.journal.read(vm)
        return entry is not None and entry.task == task and entry.finished is None

    def is_half_done(self, finished: Finished) -> bool:
        """Whether a task was ended for a worker that was lost: who ends one itself notes it before.

        Should that worker only stand still, it has the VM's lock, and ends what it has begun.
        """
        return self._is_open(finished.vm, finished.task)

    def compare(self, finished: Finished) -> None:
        """A task that was given up, and was done all the same: clients have not heard of the VM's devices."""
        entry = self._tools.journal.read(finished.vm)
        if entry is None or entry.task != finished.task or entry.finished in (None, finished):
            return
        try:
            tell_again(entry, self._tools)
        except XenopsError as error:
            _LOG.warning("what task %d has changed of VM %s is not told: %s", entry.task, entry.vm, error)
