"""Endpoint: what takes spans, who sends them, and what is said when they did not get out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from traces.files import TraceFile
from traces.observers import Observer, Settings
from traces.span import Span


class ExportError(Exception):
    """Spans did not get out; the sentence says where to, and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends spans, and the settings that go for all observers, as they are now."""

    service: str
    settings: Callable[[], Settings]
    file: TraceFile


class Endpoint(Protocol):
    """What takes spans; called by one thread only."""

    def send(self, spans: Sequence[Span], observer: Observer) -> None:
        """Send spans. Errors: `ExportError`."""

    def close(self) -> None:
        """Let go of what it holds; from any thread."""
