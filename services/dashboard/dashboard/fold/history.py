"""History: how deep the queues were and how long tasks took, every few seconds of the last hour."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from bus.stories.story import State, Story

SAMPLE_S = 5.0
"""How often a sample is taken."""

SAMPLES_KEPT = 720
"""An hour of them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One interval that ended at `at`; durations are of tasks that ended in it, None if none did."""

    at: float
    waiting: int
    running: int
    ended: int
    failed: int
    wait_p50_s: float | None
    wait_p95_s: float | None
    run_p50_s: float | None
    run_p95_s: float | None


class History:
    """Told of every task that ends; asked for a sample when it is time."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES_KEPT)
        self._waits: list[float] = []
        self._runs: list[float] = []
        self._ended = self._failed = 0

    def on_end(self, stories: Iterable[Story]) -> None:
        """Tasks have ended."""
        for story in stories:
            self._ended += 1
            self._failed += story.state is State.FAILED
            if story.leased_at is not None and story.waited_s is not None:
                self._waits.append(story.waited_s)
                self._runs.append(story.duration_s)

    def sample(self, at: float, *, waiting: int, running: int) -> None:
        """An interval ends."""
        waits, runs = sorted(self._waits), sorted(self._runs)
        figures = (quantile(waits, 0.5), quantile(waits, 0.95), quantile(runs, 0.5), quantile(runs, 0.95))
        self.samples.append(Sample(at, waiting, running, self._ended, self._failed, *figures))
        self._waits, self._runs = [], []
        self._ended = self._failed = 0


def quantile(ordered: list[float], share: float) -> float | None:
    """The value below which that share of ordered values is; None of no values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
