"""Tracer: makes one service's spans, as long as some observer wants them; costs nothing while none does."""

import contextvars
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from traces import names
from traces.endpoint import Source
from traces.files import TraceFile
from traces.log import mark_log
from traces.observers import Observer, Observers, Settings
from traces.outlet import Outlet
from traces.span import Span, Start

CLOSE_TIMEOUT_S = 2.0
"""How long a service that ends waits for its last spans to get out."""

_current: contextvars.ContextVar[Span | None] = contextvars.ContextVar("span", default=None)


def current_span() -> Span | None:
    """The span that this thread works for: its `traceparent` goes with what is asked of others."""
    return _current.get()


class Tracer:
    """One service's, for one instance; safe for any thread. `service` is how its spans are told apart."""

    def __init__(self, service: str, instance: str) -> None:
        self.on = False
        self._instance = instance
        self._settings = Settings()
        self._source = Source(service, lambda: self._settings, TraceFile(service))
        self._outlets: dict[tuple[str, str], tuple[Observer, Outlet]] = {}
        self._live: defaultdict[str, int] = defaultdict(int)
        self._dropped = 0
        self._lock = threading.Lock()

    def follow(self, observers: Observers) -> None:
        """Do as the observers say from now on."""
        wanted = {
            (uuid, endpoint): observer
            for uuid, observer in observers.enabled().items()
            for endpoint in observer.endpoints
        }
        changed = observers.settings != self._settings
        self._settings = observers.settings
        if changed:
            self.flush()
        outlets = dict(self._outlets)
        for key in [key for key, (observer, _) in outlets.items() if wanted.get(key) != observer]:
            outlets.pop(key)[1].close()
        for key, observer in wanted.items():
            if key not in outlets:
                outlets[key] = (observer, Outlet(observer, key[1], self._source))
        self._outlets = outlets
        if wanted:
            mark_log(current_span)
        self.on = bool(wanted)

    def flush(self) -> None:
        """Export now what has ended; does not wait for it."""
        for _, outlet in self._outlets.values():
            outlet.wake()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Make no more spans; let those that have ended get out, if it does not take long."""
        self.on = False
        outlets, self._outlets = [outlet for _, outlet in self._outlets.values()], {}
        for outlet in outlets:
            outlet.close()
        deadline = time.monotonic() + timeout_s
        for outlet in outlets:
            outlet.join(max(0.0, deadline - time.monotonic()))

    def begin(self, start: Start) -> Span | None:
        """A span begins; None when nobody wants it, or too many are under way."""
        if not self.on or start.depth > self._settings.max_depth:
            return None
        span = Span.begin(start, time.time())
        with self._lock:
            live = self._live.get(span.trace_id, 0)
            limit_met = live >= self._settings.max_spans or (
                not live and len(self._live) >= self._settings.max_traces
            )
            if limit_met:
                self._dropped += 1
                return None
            self._live[span.trace_id] += 1
        span.attributes.setdefault(names.INSTANCE, self._instance)
        return span

    def end(self, span: Span | None, error: BaseException | str | None = None) -> None:
        """A span has ended, well or with an error."""
        if span is None:
            return
        span.ended = max(span.began, time.time())
        if isinstance(error, str):
            span.error = error
        elif error is not None:
            span.fail(error)
        with self._lock:
            self._live[span.trace_id] -= 1
            if not self._live[span.trace_id]:
                del self._live[span.trace_id]
        for _, outlet in self._outlets.values():
            outlet.offer(span)

    def step(self, name: str) -> AbstractContextManager[Span | None]:
        """A span around a part of what this thread works for; none, if it works for no span."""
        span = current_span()
        return nullcontext() if span is None else self.within(span.child(name))

    @contextmanager
    def within(self, start: Start) -> Iterator[Span | None]:
        """A span around what this thread does; whatever is raised is its error."""
        span = self.begin(start)
        token = _current.set(span)
        try:
            yield span
        except BaseException as error:
            self.end(span, error)
            raise
        else:
            self.end(span, None if span is None else span.error)
        finally:
            _current.reset(token)
