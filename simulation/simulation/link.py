"""Link: one process's connection to the broker: in order both ways, slow at times, cut at others."""

from collections.abc import Callable

from simulation.life import Life
from simulation.scheduler import Action

LATENCY_S = 0.002
"""How long a message takes at most, each way, on a good day."""


class Parcel:
    """One thing that is said on one connection; arriving, it is said, unless that connection is no more."""

    __slots__ = ("_action", "_hear", "_link", "_number")

    def __init__(self, link: "Link", action: Action, hear: Callable[[Action], None] | None) -> None:
        self._link = link
        self._number = link.number
        self._action = action
        self._hear = hear

    def __call__(self) -> None:
        """It has arrived; behind a network that carries nothing it waits."""
        link = self._link
        if link.stalled:
            link.waiting.append(self.go_on)
        elif link.number != self._number:
            return
        elif self._hear is None:
            self._action()
        else:
            self._hear(self.say if link.life.paused else self._action)

    def go_on(self) -> None:
        """It gets through: to the broker, or to a process that may stand still."""
        if self._hear is not None:
            self._hear(self.say)
        else:
            self.say()

    def say(self) -> None:
        """It is heard now."""
        if self._link.number == self._number:
            self._action()


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
        self.waiting: list[Action] = []
        self._last_up = self._last_down = 0.0

    def to_broker(self, action: Action) -> None:
        """Say something to the broker; the sender's death does not take it back."""
        self._last_up = self._next(self._last_up)
        self.life.scheduler.at(self._last_up, Parcel(self, action, None))

    def to_process(self, action: Action) -> None:
        """Say something to the process."""
        self._last_down = self._next(self._last_down)
        self.life.scheduler.at(self._last_down, Parcel(self, action, self.life.enter))

    def with_last(self, action: Action) -> None:
        """Say something to the process, along with what it is told last."""
        arrives = max(self._last_down, self.life.scheduler.now)
        self.life.scheduler.at(arrives, Parcel(self, action, self.life.enter))

    def open(self) -> None:
        """A new connection."""
        self.number += 1
        self.up = True

    def cut(self) -> None:
        """The connection is no more; what is under way is lost."""
        self.number += 1
        self.up = False
        self.waiting.clear()

    def stall(self) -> None:
        """Nothing gets through."""
        self.stalled = True

    def go_on(self) -> None:
        """All gets through again, what waited first, and after what its process was told before."""
        self.stalled = False
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            self.life.scheduler.after(0, action)

    def _next(self, last: float) -> float:
        """When what is said now arrives: after all that was said before."""
        life = self.life
        arrives = life.scheduler.now + life.random.random() * self.latency_s
        return max(last, arrives)
