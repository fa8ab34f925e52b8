"""Turns: executions that are over soon follow each other, one that takes its time lets others in beside it.

Python computes in one thread at a time, and an execution that nothing holds up, some milliseconds of
computing, gives that up for each of its system calls. Twenty such at once mostly wake each other.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count

from bus.loop import guarded

from engine.branches import Action

AT_ONCE = 2
"""So many are begun at a time: one computes while the other waits for the system."""

SOON_S = 0.02
"""What has been under way for longer, up to twice as long, holds up nobody: others are begun in its turn."""


class Turns:
    """Who is begun next, in the order of their coming; `start` has a thread do something.

    `soon_s` is how long others wait for one whose turn it is. A thread goes on with whoever waits when it is
    done, and need not be woken for it.
    """

    def __init__(self, start: Callable[[Action], object], soon_s: float = SOON_S) -> None:
        self._start = start
        self._soon_s = soon_s
        self._lock = threading.Lock()
        self._waiting: deque[Action] = deque()
        self._turns: dict[int, float] = {}
        self._numbers = count()
        self._is_wanted = threading.Event()
        self._is_overseen = False

    def begin(self, action: Action) -> None:
        """Do an action in its turn; what it raises is logged."""
        with self._lock:
            if len(self._turns) >= AT_ONCE:
                self._waiting.append(action)
                self._have_overseen()
                return
            turn = self._take()
        self._start(partial(self._run, action, turn))

    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def clear(self) -> None:
        """Those that wait are not begun any more."""
        with self._lock:
            self._waiting.clear()

    def _take(self) -> int:
        turn = next(self._numbers)
        self._turns[turn] = time.monotonic()
        return turn

    def _run(self, action: Action, turn: int) -> None:
        following: tuple[Action, int] | None = (action, turn)
        while following is not None:
            action, turn = following
            guarded(action)
            following = self._following(turn)

    def _following(self, turn: int) -> tuple[Action, int] | None:
        """What a thread whose turn is over goes on with."""
        with self._lock:
            self._turns.pop(turn, None)
            if not self._waiting or len(self._turns) >= AT_ONCE:
                return None
            return self._waiting.popleft(), self._take()

    def _have_overseen(self) -> None:
        if not self._is_overseen:
            self._is_overseen = True
            threading.Thread(target=self._oversee, name="turns", daemon=True).start()
        if not self._is_wanted.is_set():
            self._is_wanted.set()

    def _oversee(self) -> None:
        """While some wait, look now and then whose turn has lasted long enough."""
        while self._is_wanted.wait():
            time.sleep(self._soon_s)
            for action, turn in self._let_in():
                self._start(partial(self._run, action, turn))

    def _let_in(self) -> list[tuple[Action, int]]:
        with self._lock:
            began_before = time.monotonic() - self._soon_s
            self._turns = {turn: at for turn, at in self._turns.items() if at > began_before}
            room = min(len(self._waiting), AT_ONCE - len(self._turns))
            let_in = [(self._waiting.popleft(), self._take()) for _ in range(room)]
            if not self._waiting:
                self._is_wanted.clear()
            return let_in
