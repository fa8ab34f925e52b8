"""Spans: an execution's part of a trace: one span for the task, one below it for each atomic."""

from typing import Any

from bus.ports import Request
from schema.atomics import Atomic
from schema.operations import AtomicOperation, Operation
from traces import Kind, Start, Tracer, current_span, names

from engine.backend import Execution
from engine.execute import Perform
from engine.worker.core import Lease


def execution_start(lease: Lease, worker: str) -> Start:
    """What a task's execution begins with; its name is the original's for the operation."""
    submitted = lease.submitted
    attributes = {
        names.TASK: str(lease.task),
        names.TASK_DBG: submitted.dbg,
        names.VM: str(submitted.vm),
        names.OPERATION: submitted.operation.kind,
        names.WORKER: worker,
    }
    return Start(
        _name(submitted.operation),
        Kind.CONSUMER,
        lease.traceparent,
        attributes=attributes,
        baggage=submitted.baggage,
        depth=3,
    )


def answer_start(request: Request) -> Start:
    """What the answer to a request on the control queue begins with."""
    return Start("answer", Kind.CONSUMER, request.traceparent, depth=2)


def _name(operation: Operation) -> str:
    if isinstance(operation, AtomicOperation):
        return f"{operation.kind} ({operation.atomic.kind})"
    return operation.kind


def spanned(perform: Perform, tracer: Tracer) -> Perform:
    """Performs each atomic within a span of its own, in whichever thread that is."""
    task = current_span()
    if task is None:
        return perform

    def perform_within(atomic: Atomic, execution: Execution) -> Any:
        with tracer.within(task.child(atomic.kind)):
            return perform(atomic, execution)

    return perform_within


def fail_span(error: BaseException) -> None:
    """What this thread works for has failed, though nothing is raised any further."""
    span = current_span()
    if span is not None:
        span.fail(error)
