"""XenAPI's tasks: a record of class `task` that follows an operation, and by which it is cancelled."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from xenops.toolstack.database import Database
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.reflect import xenapi_time

KLASS = "task"


class XenApiTask:
    """A `ForeignTask` whose every news is in its record."""

    def __init__(
        self, database: Database, name: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._now = now
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._is_cancelled = False
        fields = {"name_label": name, "status": "pending", "progress": 0.0, "result": "", "error_info": []}
        created = {"created": xenapi_time(now()), "allowed_operations": [], "other_config": {}}
        self.ref = database.create(KLASS, fields | created)

    def cancel(self) -> None:
        """Ask the operation to stop, now or as soon as it can be; one that has ended stays as it is."""
        with self._lock:
            self._is_cancelled = True
            stop = self._stop
        if stop is not None:
            stop()

    def runs(self, cancel: Callable[[], None]) -> None:
        """See `ForeignTask`."""
        with self._lock:
            self._stop = cancel
            is_cancelled = self._is_cancelled
        if is_cancelled:
            cancel()

    def progressed(self, fraction: float, *, cancellable: bool) -> None:
        """See `ForeignTask`."""
        self._write(progress=fraction, allowed_operations=["cancel"] if cancellable else [])

    def completed(self, result: Any) -> None:
        """See `ForeignTask`."""
        self._end(status="success", progress=1.0, result="" if result is None else str(result))

    def failed(self, error: Exception) -> None:
        """See `ForeignTask`."""
        info = (
            [error.code, *error.params]
            if isinstance(error, XenApiFailure)
            else ["INTERNAL_ERROR", str(error)]
        )
        self._end(status="cancelled" if info[0] == "TASK_CANCELLED" else "failure", error_info=info)

    def _end(self, **fields: Any) -> None:
        with self._lock:
            self._stop = None
        self._write(**fields, finished=xenapi_time(self._now()), allowed_operations=[])

    def _write(self, **fields: Any) -> None:
        self._database.update(KLASS, self.ref, fields)
