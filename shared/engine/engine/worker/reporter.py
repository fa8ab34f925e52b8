"""Reporter: gathers what a running task has to tell into few records, so that a short task makes but two."""

import threading
import time
from collections.abc import Callable

from schema.objects.dynamic import ObjectId
from schema.records import Progress, Record

from engine.cancellation import Cancellation
from engine.worker.core import Lease

INTERVAL_S = 0.1
"""How often, at most, a task in progress says so; a client's bar moves ten times a second."""


class Reporter:
    """One task's; safe for any thread."""

    def __init__(self, lease: Lease, cancellation: Cancellation, append: Callable[[Record], None]) -> None:
        self._lease = lease
        self._cancellation = cancellation
        self._append = append
        self._lock = threading.Lock()
        self._changed: dict[ObjectId, None] = {}
        self._fraction = 0.0
        self._told = 0.0
        self._told_at = time.monotonic()

    def signal(self, changed: ObjectId) -> None:
        """An object has changed."""
        with self._lock:
            self._changed.pop(changed, None)
            self._changed[changed] = None
        self.tell_if_due()

    def progress(self, fraction: float) -> None:
        """The task has come so far."""
        with self._lock:
            self._fraction = fraction
        self.tell_if_due()

    def tell_if_due(self) -> None:
        """Append what has come up, unless the last time is too short ago."""
        with self._lock:
            now = time.monotonic()
            nothing_new = not self._changed and self._fraction == self._told
            if nothing_new or now - self._told_at < INTERVAL_S:
                return
            self._told_at, self._told = now, self._fraction
            record = Progress(
                vm=self._lease.submitted.vm,
                task=self._lease.task,
                token=self._lease.token,
                fraction=self._fraction,
                debug_info=self.debug_info(),
                cancellable=not self._cancellation.forbidden,
                changed=self._take(),
            )
            self._append(record)

    def rest(self) -> tuple[ObjectId, ...]:
        """What has changed and was not told yet; for the record of the end."""
        with self._lock:
            return self._take()

    def debug_info(self) -> tuple[tuple[str, str], ...]:
        """What a task shows of itself to whoever looks for faults."""
        return (("cancel_points_seen", str(self._cancellation.points)),)

    def _take(self) -> tuple[ObjectId, ...]:
        changed, self._changed = tuple(self._changed), {}
        return changed
