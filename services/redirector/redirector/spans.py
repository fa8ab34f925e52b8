"""Spans: a task's time in its lane, from its coming until it is leased, joins another, or is no more."""

from dataclasses import replace

from schema.records import Failed, Finished, Merged, Record
from traces import Kind, Start, Tracer, names

from redirector.effects import Append
from redirector.lane import Waiting
from redirector.lanes import Lanes


def with_span(effect: Append, lanes: Lanes, tracer: Tracer) -> Record:
    """The record, caused by the span of the task's waiting instead of the client's call."""
    if effect.waited is None:
        return effect.record
    start, error = _start("lane", effect.waited), None
    match effect.record:
        case Merged(into=into):
            leader = lanes.find(into)
            links = () if leader is None or leader.traceparent is None else (leader.traceparent,)
            start = replace(_start("merge", effect.waited), links=links)
            start.attributes[names.TASK_MERGED_INTO] = str(into)
        case Finished(outcome=Failed() as failed):
            error = str(failed.error)
        case _:
            pass  # leased: that is what it waited for
    span = tracer.begin(start)
    tracer.end(span, error)
    if span is None:
        return effect.record
    return effect.record.model_copy(update={"traceparent": span.traceparent})


def _start(name: str, waited: Waiting) -> Start:
    attributes = {
        names.TASK: str(waited.id),
        names.VM: str(waited.vm),
        names.OPERATION: waited.brief.name,
    }
    return Start(
        name,
        Kind.CONSUMER,
        waited.traceparent,
        at=waited.since,
        attributes=attributes,
        baggage=waited.baggage,
        depth=2,
    )
