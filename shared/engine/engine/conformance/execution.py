"""SuiteExecution: a task for verbs to run in, which can be cancelled at any of its cancel points."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schema.fault import XenopsError
from schema.objects.errors import Cancelled
from typing_extensions import override

from engine.backend import Execution


class SuiteExecution(Execution):
    """Counts its cancel points; at the `cancel_at`-th one, from 1, it is cancelled."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.points = 0
        self.fractions: list[float] = []
        self._cancel_at = cancel_at
        self._cancelled = threading.Event()
        self._forbidden = False
        self.stood_still = 0
        self._on_cancel: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """What a client's Task.cancel does; from any thread, and too late once it is forbidden."""
        with self._lock:
            if self._forbidden:
                return
            self._cancelled.set()
            waiting = list(self._on_cancel)
        for on_cancel in waiting:
            on_cancel()

    @override
    def check_cancelled(self) -> None:
        self.points += 1
        if self.points == self._cancel_at:
            self.cancel()
        if self._cancelled.is_set():
            raise XenopsError(Cancelled(task="conformance"))

    @override
    @contextmanager
    def cancellable(self, on_cancel: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._on_cancel.append(on_cancel)
        if self._cancelled.is_set():
            on_cancel()
        try:
            yield
        finally:
            with self._lock:
                self._on_cancel.remove(on_cancel)

    @override
    def stands_still(self) -> None:
        self.stood_still += 1

    @override
    def forbid_cancel(self) -> None:
        with self._lock:
            if not self._cancelled.is_set():
                self._forbidden = True
                return
        raise XenopsError(Cancelled(task="conformance"))

    @override
    def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)

    @override
    def wait(self, delay_s: float) -> None:
        self.check_cancelled()
        if self._cancelled.wait(delay_s):
            self.check_cancelled()
