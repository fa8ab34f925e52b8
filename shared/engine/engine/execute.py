"""Execution: runs a plan node by node, with cancel points between, progress told, the first failure last."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from schema.atomics import Atomic
from typing_extensions import override

from engine.backend import Execution
from engine.branches import Branches
from engine.cancellation import Cancellation
from engine.plan import BestEffort, Do, Parallel, Plan, Serial
from engine.plan.timeout import chunks
from engine.progress import Path, Progress

_LOG = logging.getLogger(__name__)

Perform = Callable[[Atomic, Execution], Any]
"""Performs one atomic; answers the wire value that it gave, mostly None."""


class _Step(Execution):
    """What one atomic's verbs may tell and must ask."""

    def __init__(self, executor: "Executor", path: Path, *, beside: bool) -> None:
        self._executor = executor
        self._path = path
        self._beside = beside

    @override
    def check_cancelled(self) -> None:
        self._executor.check_cancelled(beside=self._beside)

    @override
    def cancellable(self, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        return self._executor.cancellation.waking(on_cancel)

    @override
    def forbid_cancel(self) -> None:
        self._executor.cancellation.forbid()

    @override
    def stands_still(self) -> None:
        """A plan owes nothing meanwhile."""

    @override
    def progress(self, fraction: float) -> None:
        self._executor.report(lambda progress: progress.at(self._path, fraction))

    @override
    def wait(self, delay_s: float) -> None:
        self._executor.cancellation.wait(delay_s)


class Executor:
    """Runs one plan, once. `on_progress` is told a fraction that never goes back, from any thread."""

    def __init__(
        self,
        plan: Serial,
        perform: Perform,
        cancellation: Cancellation,
        on_progress: Callable[[float], None],
        *,
        branches: Branches,
    ) -> None:
        self.cancellation = cancellation
        self._plan = plan
        self._perform = perform
        self._on_progress = on_progress
        self._branches = branches
        self._progress = Progress(plan)
        self._lock = threading.Lock()
        self._result: Any = None

    def run(self) -> Any:
        """Run it all; answers the wire value that the last atomic to give one gave.

        Raises:
            XenopsError: the first failure; what is after it is not begun, what goes on beside it ends first.
        """
        self._run_each(self._plan, (), beside=False)
        return self._result

    def check_cancelled(self, *, beside: bool) -> None:
        """Stop here if the task shall; what goes on `beside` others is no point, as in the original."""
        if beside:
            self.cancellation.look()
        else:
            self.cancellation.check()

    def report(self, advance: Callable[[Progress], Progress]) -> None:
        """Something has come further."""
        with self._lock:
            self._progress = advance(self._progress)
            self._on_progress(self._progress.fraction)

    def _run_each(self, serial: Serial, path: Path, *, beside: bool) -> None:
        for index, node in enumerate(serial.plans):
            self._run(node, (*path, index), beside=beside)

    def _run(self, node: Plan, path: Path, *, beside: bool) -> None:
        self.check_cancelled(beside=beside)
        match node:
            case Do(atomic=atomic):
                self._do(atomic, _Step(self, path, beside=beside))
            case Serial():
                self._run_each(node, path, beside=beside)
            case Parallel(plans=plans):
                self._run_at_once(plans, path)
            case BestEffort(plan=attempt):
                self._attempt(attempt, path, beside=beside)
        self.report(lambda progress: progress.finished(path))

    def _do(self, atomic: Atomic, step: _Step) -> None:
        result = self._perform(atomic, step)
        if result is not None:
            self._result = result

    def _attempt(self, node: Plan, path: Path, *, beside: bool) -> None:
        try:
            self._run(node, (*path, 0), beside=beside)
        except Exception as error:  # noqa: BLE001  that is what best effort means
            _LOG.info("passed over, as best effort may be: %s", error)

    def _run_at_once(self, plans: tuple[Plan, ...], path: Path) -> None:
        """Each chunk ends before the next begins."""
        failures: dict[int, Exception] = {}
        numbered = list(enumerate(plans))
        for chunk in chunks(plans):
            here, numbered = numbered[: len(chunk)], numbered[len(chunk) :]
            self._branches.run(
                [partial(self._run_beside, index, node, path, failures) for index, node in here]
            )
            if failures:
                raise failures[min(failures)]

    def _run_beside(self, index: int, node: Plan, path: Path, failures: dict[int, Exception]) -> None:
        try:
            self._run(node, (*path, index), beside=True)
        except Exception as error:  # noqa: BLE001  a branch's top: raised again where all are awaited
            failures[index] = error
