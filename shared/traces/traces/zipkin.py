"""Zipkin: spans as the JSON of Zipkin's interface, version 2, as the original writes it."""

import json
from collections.abc import Iterable
from typing import Any

from traces.observers import Observer
from traces.span import Kind, Span


def encode(spans: Iterable[Span], observer: Observer, service: str) -> bytes:
    """A list of spans, on one line; times are in microseconds."""
    shown = [_span(span, observer, service) for span in spans]
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _span(span: Span, observer: Observer, service: str) -> dict[str, Any]:
    kind = {} if span.start.kind is Kind.INTERNAL else {"kind": span.start.kind.value}
    parent = {} if span.parent_id is None else {"parentId": span.parent_id}
    tags = span.shown_to(observer)
    if span.links:
        tags |= {"links": " ".join(span.links)}  # the format has no links
    return {
        "id": span.span_id,
        "traceId": span.trace_id,
        **parent,
        "name": span.start.name,
        "timestamp": int(span.began * 1e6),
        "duration": int((span.ended - span.began) * 1e6),
        **kind,
        "localEndpoint": {"serviceName": service},
        "annotations": [],
        "tags": tags,
    }
