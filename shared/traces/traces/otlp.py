"""OTLP: spans to a collector of OpenTelemetry; the one importer of its libraries.

Imported by an outlet's own thread when it first has spans to send: loading takes a quarter of a second.
"""

import logging
import os
import socket
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from traces.endpoint import ExportError, Source
from traces.observers import Observer
from traces.span import Span

logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # outlets say themselves what does not get out

_SCOPE = InstrumentationScope("xenops")


class OtlpEndpoint:
    """One collector, by the URL that takes traces."""

    def __init__(self, url: str, source: Source, timeout_s: float) -> None:
        self._url = url
        self._source = source
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=timeout_s)

    def send(self, spans: Sequence[Span], observer: Observer) -> None:
        """Send spans. Errors: `ExportError` when the collector did not take them."""
        resource = _resource(self._source)
        readable = [_readable(span, observer, resource) for span in spans]
        if self._exporter.export(readable) is not SpanExportResult.SUCCESS:
            raise ExportError(f"{self._url} does not take them: does a collector listen there?")

    def close(self) -> None:
        """Let go of connections; what still waits to be tried again is given up."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's


def _resource(source: Source) -> Resource:
    return Resource(
        {
            "service.name": source.service,
            "service.namespace": "xenops",
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            "host.id": source.settings().host_id,
        }
    )


def _readable(span: Span, observer: Observer, resource: Resource) -> ReadableSpan:
    parent = None if span.parent_id is None else _context(span.trace_id, span.parent_id, remote=True)
    status = Status(StatusCode.OK) if span.error is None else Status(StatusCode.ERROR, span.error)
    return ReadableSpan(
        name=span.start.name,
        context=_context(span.trace_id, span.span_id, remote=False),
        parent=parent,
        resource=resource,
        attributes=span.shown_to(observer),
        links=[Link(_context(*link.split("-")[1:3], remote=True)) for link in span.links],
        kind=SpanKind[span.start.kind.value],
        status=status,
        start_time=int(span.began * 1e9),
        end_time=int(span.ended * 1e9),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str, *, remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED))
