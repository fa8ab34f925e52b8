"""Trace: a simulation as text: what was done to it and what its log says, by time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bus.ports import Entry

from simulation.scheduler import EPOCH_S

if TYPE_CHECKING:
    from simulation.run import Simulation

LINE_LETTERS_MAX = 200

_DULL = {"vm", "kind", "debug_info", "traceparent", "baggage", "request_id", "reply_to", "accept_by"}
"""What of a record is left out: it says nothing about who did what when."""

_NOISE = ("Heartbeat", "Progress")


def trace(simulation: "Simulation") -> list[str]:
    """One line for each step and each record, and the findings below them."""
    lines = sorted([*_steps(simulation), *_records(simulation)], key=lambda line: line[0])
    return [f"{at:9.3f} {text[:LINE_LETTERS_MAX]}" for at, text in lines] + simulation.findings


def _steps(simulation: "Simulation") -> Iterator[tuple[float, str]]:
    for step in simulation.scenario.steps:
        yield step.at, f"==> {step.model_dump_json(exclude={'at'})}"


def _records(simulation: "Simulation") -> Iterator[tuple[float, str]]:
    """A record's time is its producer's, its place in the log the number before it."""
    for site in simulation.sites:
        for offset, item in enumerate(site.log):
            if isinstance(item, Entry) and item.record.kind not in _NOISE:
                record, who = item.record, item.producer.partition("/")[0]
                fields = record.model_dump(mode="json", exclude=_DULL, exclude_defaults=True)
                words = f"[{offset}] {who}: {record.kind} {getattr(record, 'vm', '')} {fields}"
                yield item.at - EPOCH_S, words
