"""Figures: many times of one thing as median, 99th percentile and ratio to a peer, printed in one form."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Figures:
    """What many repeats of one action took, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, times_s: Sequence[float]) -> Self:
        """The figures of at least one time."""
        ordered = sorted(times_s)
        p99_s = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        return cls(len(ordered), statistics.median(ordered) * 1e3, p99_s * 1e3)

    @override
    def __str__(self) -> str:
        return f"p50 {self.p50_ms:8.3f} ms   p99 {self.p99_ms:8.3f} ms   n {self.count}"


def tell(label: str, figures: Figures, peer: Figures | None = None) -> None:
    """Print one line; with a peer, how many times its median ours is."""
    ratio = "" if peer is None else f"   {figures.p50_ms / peer.p50_ms:5.2f} x peer"
    print(f"{label:<44} {figures}{ratio}", flush=True)


def tell_rate(label: str, per_s: float, peer_per_s: float | None = None) -> None:
    """Print a rate; with a peer, which part of its rate ours is."""
    ratio = "" if peer_per_s is None else f"   {per_s / peer_per_s:5.2f} of peer's"
    print(f"{label:<44} {per_s:12.0f} /s{ratio}", flush=True)


def timed(action: Callable[[], object]) -> float:
    """The seconds that an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


Action = Callable[[], object]


def nothing() -> None:
    """What is to be put right after most actions."""


def interleaved(rounds: int, *actions: Action | tuple[Action, Action]) -> tuple[Figures, ...]:
    """Each action once a round, in turn, so that what else the machine does hits all alike.

    An action may come with another that undoes it, whose time does not count.
    """
    pairs = [action if isinstance(action, tuple) else (action, nothing) for action in actions]
    times: tuple[list[float], ...] = tuple([] for _ in pairs)
    for _ in range(rounds):
        for (action, undo), taken in zip(pairs, times, strict=True):
            taken.append(timed(action))
            undo()
    return tuple(Figures.of(taken) for taken in times)
