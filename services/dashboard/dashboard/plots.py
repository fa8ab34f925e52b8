"""Plots: the last hour as lines, in the units of a picture."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dashboard.fold.history import SAMPLE_S, Sample

WIDTH, HEIGHT = 720.0, 100.0
DASH = 2.0

SPAN_S_MIN = 300.0
"""The least time that is shown."""

Value = Callable[[Sample], float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure over time; `parts` are points of polylines, broken where there was no value."""

    name: str
    kind: str
    parts: tuple[str, ...]
    last: float | None


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines with a common scale; `top` is the value at the upper edge, `span_s` from left to right."""

    title: str
    unit: str
    top: float
    span_s: float
    lines: tuple[Line, ...]


def plot(title: str, unit: str, samples: Sequence[Sample], lines: Iterable[tuple[str, str, Value]]) -> Plot:
    """A plot of figures, each with a name and a word that the style sheet knows."""
    wanted = tuple(lines)
    values = [value for sample in samples for _, _, of in wanted if (value := of(sample)) is not None]
    scale = _Scale(_newest(samples), _span(samples), rounded_up(max(values, default=0.0)))
    drawn = tuple(Line(name, kind, scale.parts(of, samples), _last(of, samples)) for name, kind, of in wanted)
    return Plot(title, unit, scale.top, scale.span_s, drawn)


def rounded_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... or of 0.1, 0.05, ...; 1 for nothing."""
    if value <= 0:
        return 1.0
    step = 10.0 ** len(str(int(value))) if value >= 1 else 1.0
    while step / 10 >= value:
        step /= 10
    return next(step / divisor for divisor in (5, 2, 1) if step / divisor >= value)


@dataclass(frozen=True, slots=True)
class _Scale:
    newest: float
    span_s: float
    top: float

    def parts(self, of: Value, samples: Sequence[Sample]) -> tuple[str, ...]:
        """The points of a line, broken where there is no value."""
        parts: list[list[str]] = [[]]
        for sample in samples:
            value = of(sample)
            if value is None:
                parts.append([])
                continue
            x = WIDTH * (1 - (self.newest - sample.at) / self.span_s)
            parts[-1].append(f"{max(0.0, x):.1f},{HEIGHT * (1 - value / self.top):.1f}")
        return tuple(_drawn(part) for part in parts if part)


def _drawn(part: list[str]) -> str:
    """A line's points; one alone is drawn as a short dash."""
    if len(part) > 1:
        return " ".join(part)
    x, _, y = part[0].partition(",")
    return f"{float(x) - DASH:.1f},{y} {part[0]}"


def _newest(samples: Sequence[Sample]) -> float:
    return samples[-1].at if samples else 0.0


def _span(samples: Sequence[Sample]) -> float:
    """What is shown: all that is known, but not so little that it looks like much."""
    known_s = _newest(samples) - samples[0].at if samples else 0.0
    return max(SPAN_S_MIN, known_s)


def _last(of: Value, samples: Sequence[Sample]) -> float | None:
    return next((value for sample in reversed(samples) if (value := of(sample)) is not None), None)


def of_depth(samples: Sequence[Sample]) -> Plot:
    """How many tasks waited and ran."""
    lines: tuple[tuple[str, str, Value], ...] = (
        ("waiting", "waiting", lambda one: float(one.waiting)),
        ("running", "running", lambda one: float(one.running)),
    )
    return plot("Queue depth", "tasks", samples, lines)


def of_latency(samples: Sequence[Sample]) -> Plot:
    """How long tasks waited and ran, 95 of 100 at most."""
    lines: tuple[tuple[str, str, Value], ...] = (
        ("wait, 95 %", "waiting", lambda one: one.wait_p95_s),
        ("run, 95 %", "running", lambda one: one.run_p95_s),
    )
    return plot("Latency", "s", samples, lines)


def of_throughput(samples: Sequence[Sample]) -> Plot:
    """How many tasks ended a second, and failed."""
    lines: tuple[tuple[str, str, Value], ...] = (
        ("ended", "running", lambda one: one.ended / SAMPLE_S),
        ("failed", "failed", lambda one: one.failed / SAMPLE_S),
    )
    return plot("Throughput", "tasks/s", samples, lines)
