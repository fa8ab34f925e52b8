"""Shrink: from a scenario that fails to a smaller one that fails in the same way (delta debugging)."""

import re
from collections.abc import Callable, Sequence

from simulation.scenario import Scenario, Step

Try = Callable[[Scenario], tuple[str, ...]]
"""Runs a scenario; answers what was found."""

TRIES_MAX = 400
"""How often a smaller scenario is tried; what is reached by then is small enough."""

_NUMBERS = re.compile(r"\d[\d.]*")
_SIGNATURE_LETTERS = 60


def signature(findings: Sequence[str]) -> str:
    """What kind of failure it is: its first finding without times, tasks and other numbers."""
    if not findings:
        return ""
    return _NUMBERS.sub("#", findings[0].partition(" s: ")[2])[:_SIGNATURE_LETTERS]


def shrink(scenario: Scenario, find: Try) -> Scenario:
    """A scenario with fewer steps that fails as this one does; itself, if it does not fail."""
    wanted, tries = signature(find(scenario)), 0
    if not wanted:
        return scenario
    pieces, smallest = 2, scenario
    while len(smallest.steps) > 1 and tries < TRIES_MAX:
        for rest in _without_one(smallest.steps, pieces):
            tries += 1
            candidate = smallest.model_copy(update={"steps": rest})
            if signature(find(candidate)) == wanted:
                smallest, pieces = candidate, max(2, pieces - 1)
                break
        else:
            if pieces >= len(smallest.steps):
                break
            pieces = min(len(smallest.steps), 2 * pieces)
    return smallest


def _without_one(steps: tuple[Step, ...], pieces: int) -> list[tuple[Step, ...]]:
    """The steps without each of so many pieces of them."""
    length = -(-len(steps) // pieces)
    return [steps[:start] + steps[start + length :] for start in range(0, len(steps), length)]
