"""Progress: how far a plan has come, told by how far its nodes have.

A step of the plan's top weighs 1, one that copies memory 10, as in the original: whenever a step ends, the
figures are the same as its. Within a step of several atomics each of them counts the same, whereas the
original stands still there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate

from schema.atomics.vm import VmRestore, VmSave

from engine.plan.nodes import BestEffort, Do, Plan, Serial

Path = tuple[int, ...]
"""Where a node is: its index below the top, the index below that, ...; what is but attempted has index 0."""

_MEMORY_COPY_WEIGHT = 10.0
_WEIGHT = 1.0
_NOTHING: Mapping[Path, float] = {}


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a step of the plan's top begins, how long it is, and how many atomics it has."""

    start: float
    length: float
    atomics: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A value: each report gives a new one, and `fraction`, 0..1, never goes back.

    Steps are reported in their order; what goes on at once within a step, in any order.
    """

    plan: Serial
    fraction: float = 0.0
    _atomics_done: Mapping[Path, float] = field(default_factory=dict)
    """Of the step under way: how many atomics' worth is done at each place that has reported."""
    _spans: tuple[_Span, ...] = ()
    """Of each step; measured at the first report."""

    def at(self, path: Path, fraction: float) -> "Progress":
        """The atomic at `path` has come so far."""
        return self._reported(path, min(max(fraction, self._atomics_done.get(path, 0.0)), 1.0))

    def finished(self, path: Path) -> "Progress":
        """The node at `path`, atomic or not, has ended, be it by a failure that does not matter."""
        if len(path) == 1:
            return self._stepped(path[0])
        return self._reported(path, _atomics_in(_node_at(self.plan, path)))

    def _stepped(self, index: int) -> "Progress":
        """A whole step of the top has ended: nothing of it counts by itself any more."""
        spans = self._spans or _spans_of(self.plan)
        step = spans[index]
        fraction = min(max(self.fraction, step.start + step.length), 1.0)
        return Progress(self.plan, fraction, _NOTHING, spans)

    def _reported(self, path: Path, atomics: float) -> "Progress":
        done = {place: count for place, count in self._atomics_done.items() if _counts_beside(place, path)}
        done[path] = atomics
        spans = self._spans or _spans_of(self.plan)
        step = spans[path[0]]
        inner = sum(done.values()) / step.atomics
        fraction = min(max(self.fraction, step.start + inner * step.length), 1.0)
        return Progress(self.plan, fraction, done, spans)


def _counts_beside(place: Path, reported: Path) -> bool:
    """Whether both are of the same step, and neither speaks for the other."""
    return place[0] == reported[0] and place[: len(reported)] != reported


def _spans_of(plan: Serial) -> tuple[_Span, ...]:
    """Added up as the original does, to the last bit."""
    weights = [_weight(each) for each in plan.plans]
    whole = sum(weights)
    lengths = [weight / whole for weight in weights]
    starts = accumulate(lengths, initial=0.0)
    atomics = map(_atomics_in, plan.plans)
    return tuple(map(_Span, starts, lengths, atomics))


def _weight(step: Plan) -> float:
    copies_memory = isinstance(step, Do) and isinstance(step.atomic, VmSave | VmRestore)
    return _MEMORY_COPY_WEIGHT if copies_memory else _WEIGHT


def _atomics_in(plan: Plan) -> int:
    return isinstance(plan, Do) + sum(map(_atomics_in, _below(plan)))


def _node_at(plan: Plan, path: Path) -> Plan:
    return reduce(lambda node, index: _below(node)[index], path, plan)


def _below(plan: Plan) -> tuple[Plan, ...]:
    match plan:
        case Do():
            return ()
        case BestEffort(plan=attempt):
            return (attempt,)
        case _:
            return plan.plans
