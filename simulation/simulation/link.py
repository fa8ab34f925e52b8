"""Link: one process's connection to the broker: in order both ways, slow at times, cut at others."""

from functools import partial

from simulation.life import Life
from simulation.scheduler import Action

LATENCY_S = 0.002
"""How long a message takes at most, each way, on a good day."""


class Link:
    """What is said on one connection is lost with it; `number` tells connections apart.

    While `stalled`, what is sent waits, either way, as behind a network that carries nothing.
    """

    def __init__(self, life: Life) -> None:
        self.life = life
        self.number = 0
        self.up = False
        self.latency_s = LATENCY_S
        self.stalled = False
        self._waiting: list[Action] = []
        self._last_up = self._last_down = 0.0

    def to_broker(self, action: Action) -> None:
        """Say something to the broker; the sender's death does not take it back."""
        self._last_up = self._next(self._last_up)
        self._carry(self._last_up, partial(self._say, self.number, action))

    def to_process(self, action: Action) -> None:
        """Say something to the process."""
        self._last_down = self._next(self._last_down)
        self._carry(self._last_down, partial(self.life.enter, partial(self._say, self.number, action)))

    def open(self) -> None:
        """A new connection."""
        self.number += 1
        self.up = True

    def cut(self) -> None:
        """The connection is no more; what is under way is lost."""
        self.number += 1
        self.up = False
        self._waiting.clear()

    def stall(self) -> None:
        """Nothing gets through."""
        self.stalled = True

    def go_on(self) -> None:
        """All gets through again, what waited first, and after what its process was told before."""
        self.stalled = False
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            self.life.scheduler.after(0, action)

    def _next(self, last: float) -> float:
        """When what is said now arrives: after all that was said before."""
        now = self.life.scheduler.now
        return max(last, now + self.life.random.random() * self.latency_s)

    def _carry(self, at: float, action: Action) -> None:
        self.life.scheduler.at(at, partial(self._arrive, action))

    def _arrive(self, action: Action) -> None:
        if self.stalled:
            self._waiting.append(action)
        else:
            action()

    def _say(self, number: int, action: Action) -> None:
        if self.number == number:
            action()
