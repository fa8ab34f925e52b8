"""Log: what a service logs while it works for a span names its trace, so that each leads to the other."""

import logging
from collections.abc import Callable

from typing_extensions import override

from traces.span import Span

_MARK = "xenops_traced"
"""Set on a record that names its trace: several handlers may see it."""


class _Marking(logging.Filter):
    """Lets everything pass."""

    def __init__(self, current: Callable[[], Span | None]) -> None:
        super().__init__()
        self._current = current

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        span = self._current()
        if span is not None and not hasattr(record, _MARK):
            setattr(record, _MARK, True)
            record.msg = f"{record.msg} [trace {span.trace_id} span {span.span_id}]"
        return True


def mark_log(current: Callable[[], Span | None]) -> None:
    """Mark what the process's log is told from now on; idempotent."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(known, _Marking) for known in handler.filters):
            handler.addFilter(_Marking(current))
