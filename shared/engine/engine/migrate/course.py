"""Course: one side's way through a migration: what it performs, how far it has come, if it shall stop."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from schema.ids import TaskId, VmId
from schema.objects.dynamic import ObjectId, vm_of
from schema.records import Record
from typing_extensions import override

from engine.backend import Backend, Execution
from engine.cancellation import Cancellation
from engine.execute import Executor, Perform
from engine.hooks import Hooks
from engine.lock import Held
from engine.migrate.wire import Network
from engine.perform import Performer
from engine.perform.context import Context
from engine.plan import Serial
from engine.plan.groups import Steps
from engine.store import Store
from engine.threads import Threads

_NO_TASK = TaskId(-1)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Course:
    """Of one task.

    `note_handover` writes down that the VM is the destination's from now on; `keep`, that nobody knows so;
    `leave_over`, that what is here under a temporary id goes, and could not be taken away yet.
    `spanning` puts a span around each step.
    `held` are the VMs whose locks this task has; the lock of a name goes from side to side with the name.
    """

    store: Store
    backend: Backend
    hooks: Hooks
    cancellation: Cancellation
    held: Held
    signal: Callable[[ObjectId], None]
    append: Callable[[Record], None]
    note_handover: Callable[[], None]
    keep: Callable[[], None]
    leave_over: Callable[[VmId], None]
    threads: Threads
    network: Network
    progress: Callable[[float], None] = lambda _: None
    instance: str = ""
    dbg: str = ""
    spanning: Callable[[Perform], Perform] = lambda perform: perform

    def perform(self, name: str, steps: Steps, until: float = 0.0) -> None:
        """Perform steps; `until`: how far the whole has come then. Errors: the first failure."""
        context = Context(self.store, self.backend, self.hooks, self.signal, self.threads.clock)
        performer = Performer(context)
        Executor(
            Serial(name, steps),
            self.spanning(performer.perform),
            self.cancellation,
            lambda _: None,
            branches=self.threads.branches,
        ).run()
        if until:
            self.progress(until)

    def execution(
        self, start: float = 0.0, end: float = 0.0, on_still: Callable[[], None] = lambda: None
    ) -> Execution:
        """For a verb that is no step: it leads from `start` to `end` of the whole."""

        def on_progress(fraction: float) -> None:
            self.progress(start + fraction * (end - start))

        return _Part(self.cancellation, on_progress, on_still)

    def insisting(self) -> "Course":
        """The same, past the point where a cancel would do good."""
        return replace(self, cancellation=Cancellation(_NO_TASK, flag=self.threads.flag))

    def attempt(self, name: str, steps: Steps) -> None:
        """Perform steps that clear up; a failure is logged, for an earlier one is what matters."""
        try:
            self.insisting().perform(name, steps)
        except Exception as error:  # noqa: BLE001  whatever it is, what is cleared up after is worse
            _LOG.warning("%s failed: %s", name, error)

    def silent_about(self, temporary: VmId) -> "Course":
        """The same; clients are told nothing about objects of a temporary id."""
        signal = self.signal

        def tell(changed: ObjectId) -> None:
            if vm_of(changed) != temporary:
                signal(changed)

        return replace(self, signal=tell)


class _Part(Execution):
    """What a verb may tell and must ask, that is no atomic."""

    def __init__(
        self, cancellation: Cancellation, on_progress: Callable[[float], None], on_still: Callable[[], None]
    ) -> None:
        self._cancellation = cancellation
        self._on_progress = on_progress
        self._on_still = on_still

    @override
    def check_cancelled(self) -> None:
        self._cancellation.check()

    @override
    def cancellable(self, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        return self._cancellation.waking(on_cancel)

    @override
    def forbid_cancel(self) -> None:
        self._cancellation.forbid()

    @override
    def stands_still(self) -> None:
        self._on_still()

    @override
    def progress(self, fraction: float) -> None:
        self._on_progress(fraction)

    @override
    def wait(self, delay_s: float) -> None:
        self._cancellation.wait(delay_s)
