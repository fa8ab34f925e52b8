"""Trace: a simulation as text: what was done to it and what its log says, by time."""

from collections.abc import Iterator, Sequence

from bus.ports import Entry

from simulation.scheduler import EPOCH_S
from simulation.stage import Stage

LINE_LETTERS_MAX = 200

_DULL = {"vm", "kind", "debug_info", "traceparent", "baggage", "request_id", "reply_to", "accept_by"}
"""What of a record is left out: it says nothing about who did what when."""

_NOISE = ("Heartbeat", "Progress")


def trace(stage: Stage, findings: Sequence[str]) -> list[str]:
    """One line for each step and each record, and the findings below them."""
    lines = sorted([*_steps(stage), *_records(stage)], key=lambda line: line[0])
    return [f"{at:9.3f} {text[:LINE_LETTERS_MAX]}" for at, text in lines] + [*findings]


def _steps(stage: Stage) -> Iterator[tuple[float, str]]:
    for step in stage.scenario.steps:
        yield step.at, f"==> {step.model_dump_json(exclude={'at'})}"


def _records(stage: Stage) -> Iterator[tuple[float, str]]:
    """A record's time is its producer's, its place in the log the number before it."""
    for site in stage.sites:
        for offset, item in enumerate(site.log):
            if isinstance(item, Entry) and item.record.kind not in _NOISE:
                record, who = item.record, item.producer.partition("/")[0]
                fields = record.model_dump(mode="json", exclude=_DULL, exclude_defaults=True)
                words = f"[{offset}] {who}: {record.kind} {getattr(record, 'vm', '')} {fields}"
                yield item.at - EPOCH_S, words
