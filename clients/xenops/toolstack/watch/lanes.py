"""Lanes: what is to be looked at, in order within a VM, in turn between VMs, each thing once.

A thing that waits already is not added again: whoever looks at it later sees the later change, too. One that
is being looked at is added, for that look may have been too early. So as many things wait as there are
objects and barriers, whatever comes.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Lane = Hashable


class Lanes(Generic[Item]):
    """One lane for each VM, or whatever else is independent; pure, so its owner locks."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, dict[Item, None]] = {}
        self._ready: deque[Lane] = deque()
        self._taken: dict[Lane, Item] = {}
        self._withheld: dict[Lane, float] = {}
        self._later: dict[tuple[Lane, Item], float] = {}

    def __len__(self) -> int:
        """How many things wait."""
        return sum(map(len, self._waiting.values())) + len(self._later)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is taken; what is offered again `later` does not count."""
        return not self._waiting and not self._taken

    @property
    def ready(self) -> int:
        """How many lanes have something that may be taken now."""
        return len(self._ready)

    def offer(self, lane: Lane, item: Item) -> None:
        """Something is to be looked at, after all that waits in its lane."""
        self._later.pop((lane, item), None)
        waiting = self._waiting.get(lane)
        if waiting is not None:
            waiting[item] = None
            return
        self._waiting[lane] = {item: None}
        if lane not in self._taken:
            self._ready.append(lane)

    def take(self) -> tuple[Lane, Item] | None:
        """The next thing of the lane whose turn it is; nothing else of this lane is given until `done`."""
        if not self._ready:
            return None
        lane = self._ready.popleft()
        waiting = self._waiting[lane]
        item = next(iter(waiting))
        del waiting[item]
        if not waiting:
            del self._waiting[lane]
        self._taken[lane] = item
        return lane, item

    def done(self, lane: Lane) -> None:
        """What was taken has been looked at: it is the next lane's turn."""
        del self._taken[lane]
        if lane in self._waiting:
            self._ready.append(lane)

    def again(self, lane: Lane, at: float) -> None:
        """What was taken could not be looked at: it waits, before the rest of its lane, until `at`."""
        item = self._taken.pop(lane)
        rest = self._waiting.pop(lane, {})
        rest.pop(item, None)
        self._waiting[lane] = {item: None, **rest}
        self._withheld[lane] = at

    def later(self, lane: Lane, at: float) -> None:
        """What was taken could not be looked at: its lane goes on, and it is offered again at `at`."""
        item = self._taken[lane]
        if item not in self._waiting.get(lane, {}):
            self._later[lane, item] = at
        self.done(lane)

    def release(self, now: float) -> float | None:
        """What has become due may be taken; answers the seconds until the next does."""
        for lane in [lane for lane, at in self._withheld.items() if at <= now]:
            del self._withheld[lane]
            self._ready.append(lane)
        for lane, item in [place for place, at in self._later.items() if at <= now]:
            self.offer(lane, item)
        due = [*self._withheld.values(), *self._later.values()]
        return min(due) - now if due else None
