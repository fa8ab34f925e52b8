"""Nodes: a plan as a value, single atomics joined in order, at once, or at one's peril."""

from dataclasses import dataclass

from schema.atomics import Atomic


@dataclass(frozen=True, slots=True)
class Do:
    """One atomic."""

    atomic: Atomic


@dataclass(frozen=True, slots=True)
class Serial:
    """One after the other; the first failure ends it."""

    name: str
    plans: "tuple[Plan, ...]"


@dataclass(frozen=True, slots=True)
class Parallel:
    """Ten at a time; all are awaited, then the first failure in this order is the failure of all."""

    name: str
    plans: "tuple[Plan, ...]"


@dataclass(frozen=True, slots=True)
class BestEffort:
    """A failure is logged and forgotten."""

    plan: "Plan"


Plan = Do | Serial | Parallel | BestEffort
"""What can be executed."""

PARALLEL_MAX = 10
"""How many plans of a `Parallel` are under way together; as in the original, these end before more begin."""
