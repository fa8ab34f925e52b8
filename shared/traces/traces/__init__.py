"""Traces: which observers there are, the spans that they want, and how these get to them."""

from traces.observers import Observer, Observers, Settings
from traces.span import Kind, Span, Start
from traces.subscription import ObserverLog
from traces.tracer import Tracer, current_span

__all__ = [
    "Kind",
    "Observer",
    "ObserverLog",
    "Observers",
    "Settings",
    "Span",
    "Start",
    "Tracer",
    "current_span",
]
