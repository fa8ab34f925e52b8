"""Groups: joins steps into nodes, and leaves out a node that would hold nothing or only one.

Steps are a tuple of plans that follow each other, so that plans are written as sums of steps.
"""

from collections.abc import Iterable

from schema.atomics import Atomic

from engine.plan.nodes import BestEffort, Do, Parallel, Plan, Serial

Steps = tuple[Plan, ...]
"""What follows one after the other."""


def do(*atomics: Atomic) -> Steps:
    """Each of them, in this order."""
    return tuple(Do(atomic) for atomic in atomics)


def best_effort(atomic: Atomic) -> Steps:
    """It, should it succeed."""
    return (BestEffort(Do(atomic)),)


def serial(name: str, steps: Iterable[Plan]) -> Steps:
    """All of them as one step."""
    plans = tuple(steps)
    return plans if len(plans) < 2 else (Serial(name, plans),)


def parallel(name: str, plans: Iterable[Plan]) -> Steps:
    """All of them at once, as one step."""
    together = tuple(plans)
    return together if len(together) < 2 else (Parallel(name, together),)
