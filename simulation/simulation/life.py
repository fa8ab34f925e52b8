"""Life: one life of a process: one thing at a time, until it is paused or killed between any two effects."""

import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random

from greenlet import GreenletExit, getcurrent, greenlet

from simulation.scheduler import Action, HostClock, Scheduler

SOON_S = 0.0005
"""How long a thread takes at most to go on when it may."""


class Wakeup:
    """What goes on with one greenlet, once."""

    def __init__(self, sleeper: greenlet) -> None:
        self._sleeper = sleeper
        self._done = False

    def __call__(self) -> None:
        """Go on, if nobody has woken it before."""
        if not self._done and not self._sleeper.dead:
            self._done = True
            self._sleeper.switch()


class Life:
    """One life of a process. Its handlers run in the hub, its threads are greenlets below it.

    `on_bug` is told of what a handler or a thread raises, which is always a finding.
    """

    def __init__(self, name: str, scheduler: Scheduler, clock: HostClock, random: Random) -> None:
        self.name = name
        self.scheduler = scheduler
        self.clock = clock
        self.random = random
        self.alive = True
        self.paused = False
        self.on_bug: Callable[[str], None] = lambda _: None
        self._hub = getcurrent()
        self._held: list[Action] = []
        self._threads: dict[greenlet, int] = {}
        self._numbers = count(1)
        self._fuse = -1
        self._burnt: Action = self.kill
        self._at_death: list[Action] = []

    # --- time and threads ---------------------------------------------------------------------------

    def post(self, delay_s: float, action: Action) -> None:
        """Do something after a while, if this life lasts; a pause makes it wait."""
        self.scheduler.after(delay_s, partial(self.enter, action))

    def post_again(self, interval_s: float, action: Action) -> None:
        """Do something again and again, first after one interval; half of what happens is of that kind."""
        after, interrupted = self.scheduler.after, self._interrupted

        def again() -> None:
            if self.paused or not self.alive:
                self.enter(again)  # it is over, or goes on once the pause is
                return
            after(interval_s, again)
            try:
                action()
            except BaseException as error:  # noqa: BLE001  the same as of what is done once
                interrupted(error)

        after(interval_s, again)

    def enter(self, action: Action) -> None:
        """Do something now, as this process."""
        if not self.alive:
            return
        if self.paused:
            self._held.append(action)
            return
        try:
            action()
        except BaseException as error:  # noqa: BLE001  whatever a service raises is a finding
            self._interrupted(error)

    def _interrupted(self, error: BaseException) -> None:
        match error:
            case GreenletExit():
                pass  # it was killed within
            case Exception():
                self.on_bug(f"{self.name}: a handler raised: {traceback.format_exc(limit=-4)}")
            case _:
                raise error

    def begin(self, action: Action, of: int | None = None) -> None:
        """Do something in a thread of its own; `of` names the thread that it belongs to."""
        thread = greenlet(partial(self._run, action), parent=self._hub)
        self._threads[thread] = next(self._numbers) if of is None else of
        self.post(self.random.random() * SOON_S, Wakeup(thread))

    def _run(self, action: Action) -> None:
        try:
            action()
        except Exception:  # noqa: BLE001  the same
            self.on_bug(f"{self.name}: a thread raised: {traceback.format_exc(limit=-4)}")
        finally:
            self._threads.pop(getcurrent(), None)

    def thread(self) -> int | None:
        """Which of its threads runs; None for the hub."""
        return self._threads.get(getcurrent())

    def has(self, thread: int) -> bool:
        """Whether a thread of it has not ended."""
        return self.alive and thread in self._threads.values()

    def wait(self, seconds: float) -> None:
        """Let others go on for a while; in a thread only."""
        wakeup = self.wakeup()
        self.post(seconds, wakeup)
        self.sleep()

    def wakeup(self) -> Wakeup:
        """What wakes the thread that runs."""
        return Wakeup(getcurrent())

    def sleep(self) -> None:
        """Let others go on until somebody wakes this thread."""
        if not self.alive:
            raise GreenletExit
        self._hub.switch()

    # --- effects, and what strikes between them ------------------------------------------------------

    def effect(self) -> None:
        """Something is about to be done that others will see; here this process may die."""
        if not self.alive:
            raise GreenletExit
        if self._fuse < 0:
            return
        self._fuse -= 1
        if self._fuse < 0:
            self._burnt()
            if not self.alive:
                raise GreenletExit

    def step(self, latency_s: float) -> None:
        """The same, for what takes its time and lets others go on meanwhile."""
        self.effect()
        if getcurrent() is not self._hub:
            self.wait(self.random.random() * latency_s)
            self.effect()

    def set_fuse(self, effects: int, action: Action) -> None:
        """Do something to this process just before its so many-th effect from now on."""
        self._fuse, self._burnt = effects, action

    def at_death(self, action: Action) -> None:
        """Do something at once when this life ends."""
        self._at_death.append(action)

    def kill(self) -> None:
        """End it at once; nothing more of it happens."""
        self.alive = False
        self._held.clear()
        for action in self._at_death:
            action()
        self.scheduler.after(0, self._bury)

    def _bury(self) -> None:
        for thread in list(self._threads):
            if not thread.dead:
                thread.throw(GreenletExit)
        self._threads.clear()

    def pause(self) -> None:
        """Stop it (SIGSTOP): it does nothing until it is resumed."""
        self.paused = True

    def resume(self) -> None:
        """Let it go on, with all that has come up meanwhile."""
        self.paused = False
        held, self._held = self._held, []
        for action in held:
            self.post(0, action)
