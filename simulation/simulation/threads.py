"""Threads: a worker's threads as greenlets of its life."""

from collections.abc import Callable, Sequence
from functools import partial

from engine.branches import Action, Branches
from engine.threads import Flag
from typing_extensions import override

from simulation.life import Life, Wakeup
from simulation.scheduler import HostClock


class SimFlag:
    """A flag that greenlets wait for."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._set = False
        self._waiting: list[Wakeup] = []

    def set(self) -> None:
        """From now on it is set."""
        self._set = True
        waiting, self._waiting = self._waiting, []
        for wakeup in waiting:
            self._life.post(0, wakeup)

    def is_set(self) -> bool:
        """Whether it is."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for so many seconds."""
        if self._set or (timeout is not None and not timeout > 0):
            return self._set
        wakeup = self._life.wakeup()
        self._waiting.append(wakeup)
        if timeout is not None:
            self._life.post(timeout, wakeup)
        self._life.sleep()
        return self._set


class SimBranches(Branches):
    """What is done at once is done by greenlets, which take turns."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self._life = life

    @override
    def run(self, actions: Sequence[Action]) -> None:
        of, ended = self._life.thread(), [self._flag() for _ in actions[1:]]
        for action, end in zip(actions[1:], ended, strict=True):
            self._life.begin(partial(_do, action, end), of)
        actions[0]()
        for end in ended:
            end.wait()

    def _flag(self) -> SimFlag:
        return SimFlag(self._life)


def _do(action: Action, ended: SimFlag) -> None:
    action()
    ended.set()


class SimThreads:
    """`engine.threads.Threads` of one life."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.branches: Branches = SimBranches(life)
        self._watched: list[SimFlag] = []
        self._closed = False

    @property
    def clock(self) -> HostClock:
        """The host's."""
        return self._life.clock

    def begin(self, action: Action) -> None:
        """Do an action in a greenlet."""
        if not self._closed:
            self._life.begin(action)

    def answer(self, action: Action) -> None:
        """The same."""
        self.begin(action)

    def flag(self) -> Flag:
        """A flag that is not set."""
        return SimFlag(self._life)

    def sleep(self, seconds: float) -> None:
        """Let others go on."""
        self._life.wait(seconds)

    def stir(self) -> None:
        """Whoever waits looks again."""
        watched, self._watched = self._watched, []
        for flag in watched:
            flag.set()

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something is so."""
        end = self.clock.monotonic() + timeout_s
        while not is_so() and self.clock.monotonic() < end:
            flag = SimFlag(self._life)
            self._watched.append(flag)
            flag.wait(end - self.clock.monotonic())

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True
