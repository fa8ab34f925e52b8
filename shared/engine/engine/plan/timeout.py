"""Timeout: how long a plan may take before whoever waits for it gives up."""

from collections.abc import Iterator, Sequence

from engine.plan.nodes import PARALLEL_MAX, BestEffort, Do, Parallel, Plan, Serial

ATOMIC_TIMEOUT_S = 20 * 60.0
"""How long one atomic may take; as in the original."""


def timeout_s(plan: Plan) -> float:
    """The sum of what follows one after the other, the longest of what goes on at once."""
    match plan:
        case Do():
            return ATOMIC_TIMEOUT_S
        case Serial(plans=plans):
            return sum(map(timeout_s, plans))
        case Parallel(plans=plans):
            return sum(max(map(timeout_s, chunk)) for chunk in chunks(plans))
        case BestEffort(plan=attempt):
            return timeout_s(attempt)


def chunks(plans: Sequence[Plan]) -> Iterator[Sequence[Plan]]:
    """The plans of a `Parallel` as they are under way together."""
    for start in range(0, len(plans), PARALLEL_MAX):
        yield plans[start : start + PARALLEL_MAX]
