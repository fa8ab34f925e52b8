"""Outlet: what of an observer goes to one endpoint: a queue with an end, and a thread that empties it.

Whoever offers a span never waits. An endpoint that is down keeps the spans waiting until there are too many;
those that come then are dropped, counted and spoken of.
"""

import itertools
import logging
import threading
from collections import deque

from traces.endpoint import Endpoint, ExportError, Source
from traces.observers import Observer
from traces.send import open_endpoint
from traces.span import Span

_log = logging.getLogger("traces")


class Outlet:
    """One endpoint of one observer."""

    def __init__(self, observer: Observer, name: str, source: Source) -> None:
        self._observer = observer
        self._name = name
        self._source = source
        self._queue: deque[Span] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._closed = False
        self._failing = False
        self._endpoint: Endpoint | None = None
        self._thread = threading.Thread(target=self._run, name=f"traces to {name}", daemon=True)
        self._thread.start()

    def offer(self, span: Span) -> None:
        """A span has ended; once half of what may wait does, it is not kept waiting for the interval."""
        most = self._source.settings().max_spans
        with self._lock:
            if len(self._queue) >= most:
                self._dropped += 1
                return
            self._queue.append(span)
            if len(self._queue) == most // 2 + 1:
                self._woken.set()

    def wake(self) -> None:
        """Settings have changed, or somebody cannot wait: export now."""
        self._woken.set()

    def close(self) -> None:
        """Export what has ended, then end; does not wait for it, see `join`."""
        self._closed = True
        self._woken.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the last export."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closed:
            self._woken.wait(self._source.settings().export_interval)
            self._woken.clear()
            try:
                self._export()
            except Exception:  # noqa: BLE001  a thread's top: the next spans may get out
                _log.exception("traces to %s: a bug", self._name)
        if self._endpoint is not None:
            self._endpoint.close()

    def _export(self) -> None:
        """Send all that waits, in chunks; what is not taken stays."""
        while chunk := self._chunk():
            try:
                self._send(chunk)
            except ExportError as error:
                self._on_failure(error)
                return
            self._failing = False
            with self._lock:
                for _ in chunk:
                    self._queue.popleft()
        self._speak_of_dropped()

    def _chunk(self) -> list[Span]:
        with self._lock:
            return list(itertools.islice(self._queue, max(1, self._source.settings().export_chunk_size)))

    def _send(self, chunk: list[Span]) -> None:
        if self._endpoint is None:
            self._endpoint = open_endpoint(self._name, self._source)
        self._endpoint.send(chunk, self._observer)

    def _on_failure(self, error: ExportError) -> None:
        """Spoken of once, until it works again."""
        if not self._failing:
            _log.warning("observer %s: spans are kept back: %s", self._observer.name, error)
        self._failing = True
        self._speak_of_dropped()

    def _speak_of_dropped(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            _log.warning(
                "observer %s: %d spans for %s were dropped, %d waited already: export oftener, or allow more",
                *(self._observer.name, dropped, self._name, self._source.settings().max_spans),
            )
