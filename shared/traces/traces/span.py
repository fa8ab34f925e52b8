"""Span: a part of a trace: what was done, for whom, from when to when, and how it ended."""

import secrets
import traceback
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from schema.debug_info import Baggage, read_traceparent

from traces.observers import Observer


class Kind(Enum):
    """What a span is to the one before it; the names are those of the exporters' formats."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


@dataclass(frozen=True, slots=True)
class Start:
    """What a span begins with. `parent` and `links` are traceparents; times in seconds since the epoch."""

    name: str
    kind: Kind = Kind.INTERNAL
    parent: str | None = None
    at: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    baggage: Baggage = ()
    depth: int = 1


@dataclass(slots=True)
class Span:
    """A span, from its beginning on; ids in hexadecimal digits."""

    start: Start
    trace_id: str
    span_id: str
    parent_id: str | None
    began: float
    ended: float = 0.0
    error: str | None = None
    links: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, start: Start, now: float) -> Self:
        """A span under its parent, or one that begins a trace, also where what names a parent does not."""
        parent = read_traceparent(start.parent)
        trace_id, parent_id = (None, None) if parent is None else parent.split("-")[1:3]
        return cls(
            start=start,
            trace_id=trace_id or secrets.token_hex(16),
            span_id=secrets.token_hex(8),
            parent_id=parent_id,
            began=now if start.at is None else start.at,
            links=tuple(filter(None, map(read_traceparent, start.links))),
            attributes=dict(start.attributes),
        )

    @property
    def traceparent(self) -> str:
        """What names this span to whoever goes on from it."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def child(self, name: str, kind: Kind = Kind.INTERNAL) -> Start:
        """What a span within this one begins with."""
        return Start(name, kind, self.traceparent, baggage=self.start.baggage, depth=self.start.depth + 1)

    def fail(self, error: BaseException) -> None:
        """It went wrong, and where; the names are OpenTelemetry's and the original's."""
        self.error = str(error)
        self.attributes |= {
            "exception.type": type(error).__name__,
            "exception.message": self.error,
            "exception.stacktrace": "".join(traceback.format_exception(error)),
        }

    def shown_to(self, observer: Observer) -> dict[str, str]:
        """All that an observer is told of it besides: its own attributes yield to the span's."""
        told = dict(observer.attributes) | self.attributes | dict(self.start.baggage)
        return told if self.error is None else told | {"error": "true"}
