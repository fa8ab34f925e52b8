"""Execution: runs a plan node by node, with cancel points between, progress told, the first failure last."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from schema.atomics import Atomic
from typing_extensions import override

from engine.backend import Execution
from engine.cancellation import Cancellation
from engine.plan import BestEffort, Do, Parallel, Plan, Serial
from engine.plan.timeout import chunks
from engine.progress import Path, Progress

_LOG = logging.getLogger(__name__)

Perform = Callable[[Atomic, Execution], Any]
"""Performs one atomic; answers the wire value that it gave, mostly None."""


class _Step(Execution):
    """What one atomic's verbs may tell and must ask."""

    def __init__(self, executor: "Executor", path: Path) -> None:
        self._executor = executor
        self._path = path

    @override
    def check_cancelled(self) -> None:
        self._executor.cancellation.check()

    @override
    def cancellable(self, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        return self._executor.cancellation.waking(on_cancel)

    @override
    def forbid_cancel(self) -> None:
        self._executor.cancellation.forbid()

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
    ) -> None:
        self.cancellation = cancellation
        self._plan = plan
        self._perform = perform
        self._on_progress = on_progress
        self._progress = Progress(plan)
        self._lock = threading.Lock()
        self._result: Any = None

    def run(self) -> Any:
        """Run it all; answers the wire value that the last atomic to give one gave.

        Raises:
            XenopsError: the first failure; what is after it is not begun, what goes on beside it ends first.
        """
        self._run_each(self._plan, ())
        return self._result

    def report(self, advance: Callable[[Progress], Progress]) -> None:
        """Something has come further."""
        with self._lock:
            self._progress = advance(self._progress)
            self._on_progress(self._progress.fraction)

    def _run_each(self, serial: Serial, path: Path) -> None:
        for index, node in enumerate(serial.plans):
            self._run(node, (*path, index))

    def _run(self, node: Plan, path: Path) -> None:
        self.cancellation.check()
        match node:
            case Do(atomic=atomic):
                self._do(atomic, path)
            case Serial():
                self._run_each(node, path)
            case Parallel(plans=plans):
                self._run_at_once(plans, path)
            case BestEffort(plan=attempt):
                self._attempt(attempt, path)
        self.report(lambda progress: progress.finished(path))

    def _do(self, atomic: Atomic, path: Path) -> None:
        result = self._perform(atomic, _Step(self, path))
        if result is not None:
            self._result = result

    def _attempt(self, node: Plan, path: Path) -> None:
        try:
            self._run(node, (*path, 0))
        except Exception as error:  # noqa: BLE001  that is what best effort means
            _LOG.info("passed over, as best effort may be: %s", error)

    def _run_at_once(self, plans: tuple[Plan, ...], path: Path) -> None:
        """Each in a thread of its own, so that what is nested waits for nobody's thread."""
        failures: dict[int, Exception] = {}
        numbered = list(enumerate(plans))
        for chunk in chunks(plans):
            here, numbered = numbered[: len(chunk)], numbered[len(chunk) :]
            threads = [
                threading.Thread(target=self._run_beside, args=(index, node, path, failures), daemon=True)
                for index, node in here[1:]
            ]
            for thread in threads:
                thread.start()
            self._run_beside(*here[0], path, failures)
            for thread in threads:
                thread.join()
            if failures:
                raise failures[min(failures)]

    def _run_beside(self, index: int, node: Plan, path: Path, failures: dict[int, Exception]) -> None:
        try:
            self._run(node, (*path, index))
        except Exception as error:  # noqa: BLE001  a thread's top: raised again where all are awaited
            failures[index] = error
