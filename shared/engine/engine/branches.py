"""Branches: threads for what is done at once, used again and again, none of which anybody waits for."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue

from typing_extensions import override

Action = Callable[[], object]
"""Raises nothing."""

IDLE_MAX = 64
"""Threads that are kept for what comes next; so many are seldom used at a time."""


class Branches:
    """Does actions at once: each is begun now, whatever others wait for, also those that are nested.

    Threads help, and whoever asks does not stand by: it does itself what no thread has begun yet. Short
    actions are over before a thread has woken, and cost no more than one after the other. Whatever context
    whoever asks is in, so that what is logged names task and VM, the threads are in as well.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[Action] = SimpleQueue()
        self._idle = 0

    def run(self, actions: Sequence[Action]) -> None:
        """Do all of them; returns when the last has ended."""
        todo, ended = deque(actions), SimpleQueue[None]()

        def work() -> None:
            while (action := _next(todo)) is not None:
                try:
                    action()
                finally:
                    ended.put(None)

        for _ in actions[1:]:
            self._begin(partial(copy_context().run, work))
        work()
        for _ in actions:
            ended.get()

    def _begin(self, action: Action) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._waiting.put(action)
                return
        threading.Thread(target=self._serve, args=(action,), name="branch", daemon=True).start()

    def _serve(self, action: Action) -> None:
        while True:
            action()
            with self._lock:
                if self._idle >= IDLE_MAX:
                    return
                self._idle += 1
            action = self._waiting.get()


class _OneAfterTheOther(Branches):
    """Does them in their order, in the thread of whoever asks: for actions that wait for nothing."""

    @override
    def run(self, actions: Sequence[Action]) -> None:
        for action in actions:
            action()


ONE_AFTER_THE_OTHER = _OneAfterTheOther()


def _next(todo: deque[Action]) -> Action | None:
    """Take the next action, unless others have taken all."""
    try:
        return todo.popleft()
    except IndexError:
        return None
