"""Spans: the server's part of each request's trace, from its coming until it has gone on or is answered."""

import threading
from collections import OrderedDict
from dataclasses import replace

from schema.ids import InstanceName
from schema.objects.errors import Error
from schema.records import Submitted
from traces import Kind, Span, Start, Tracer, names

from frontend.core import Append, Effect, Forward

UNANSWERED_MAX = 10_000
"""Requests whose spans wait for an answer; the oldest have been given up by then."""


class RequestSpans:
    """One instance's; used only while somebody observes. Safe for any thread."""

    def __init__(self, tracer: Tracer, instance: InstanceName) -> None:
        self.tracer = tracer
        self._attributes = {
            "messaging.operation.name": "process",
            "messaging.system": "rabbitmq",
            "messaging.destination.name": str(instance),
        }
        self._waiting: OrderedDict[str, Span] = OrderedDict()
        self._lock = threading.Lock()

    def around(self, effect: Effect) -> Effect:
        """The effect of a request, caused by the span of the request instead of the client's."""
        match effect:
            case Append(record, method):
                return replace(effect, record=self._submission(record, method))
            case Forward(request=request, method=method):
                span = self.tracer.begin(self._start(method, request.traceparent)) if method else None
                self.tracer.end(span)
                if span is None:
                    return effect
                return replace(effect, request=replace(request, traceparent=span.traceparent))

    def end(self, request_id: str, error: Error | str | None) -> None:
        """A submission was accepted, or came to nothing."""
        if self._waiting:
            with self._lock:
                span = self._waiting.pop(request_id, None)
            self.tracer.end(span, None if error is None else str(error))

    def _submission(self, record: Submitted, method: str) -> Submitted:
        """A repeat goes on under the span that its first attempt began."""
        with self._lock:
            span = self._waiting.get(record.request_id)
        if span is None and method:
            start = replace(self._start(method, record.traceparent), baggage=record.baggage)
            span = self.tracer.begin(start)
        if span is None:
            return record
        span.attributes |= {names.VM: record.vm, names.OPERATION: record.operation.kind}
        with self._lock:
            self._waiting[record.request_id] = span
            oldest = self._waiting.popitem(last=False)[1] if len(self._waiting) > UNANSWERED_MAX else None
        self.tracer.end(oldest, "nobody has accepted the request")
        return record.model_copy(update={"traceparent": span.traceparent})

    def _start(self, method: str, parent: str | None) -> Start:
        return Start(f"process {method}", Kind.SERVER, parent, attributes=self._attributes)
