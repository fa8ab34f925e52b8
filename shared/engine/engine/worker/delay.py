"""Delay: how long an operation wants to be left alone before it begins."""

from schema.atomics.vm import VmDelay
from schema.operations import AtomicOperation, Operation, VmCheckState

from engine.check import remedies
from engine.plan import VmView


def wanted_delay_s(check: VmCheckState, view: VmView) -> float:
    """How long a check wants to wait before it acts: a guest that reboots too often is slowed down."""
    return sum(delay_s(remedy) for remedy in remedies(check, view)[:1])


def is_delay(operation: Operation) -> bool:
    """Whether to wait is all that it does."""
    return isinstance(operation, AtomicOperation) and isinstance(operation.atomic, VmDelay)


def delay_s(operation: Operation) -> float:
    """How long an operation waits, if that is what it is."""
    if isinstance(operation, AtomicOperation) and isinstance(operation.atomic, VmDelay):
        return operation.atomic.delay_s
    return 0.0
