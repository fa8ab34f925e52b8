"""Threads: how a worker does things beside each other and waits; the system's own, or a simulation's."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from bus.clock import SYSTEM_CLOCK, Clock

from engine.branches import ONE_AFTER_THE_OTHER, Action, Branches
from engine.turns import Turns

THREADS_MAX = 1_000
"""Executions under way at a time, whatever capacity an operator asks for."""


class Flag(Protocol):
    """What some wait for and others set; as `threading.Event`."""

    def set(self) -> None:
        """From now on it is set; whoever waits goes on."""

    def is_set(self) -> bool:
        """Whether it is."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for so many seconds; answers whether it is."""


ANSWERS_MAX = 8
"""Requests under way at a time; one that waits for a hypervisor delays no other."""

MakeFlag = Callable[[], Flag]


class Threads(Protocol):
    """All that a worker may ask for that has to do with threads and time."""

    @property
    def clock(self) -> Clock:
        """What time it is."""

    @property
    def branches(self) -> Branches:
        """Threads for what an execution does at once."""

    def begin(self, action: Action) -> None:
        """Do an action beside others, in its turn; it waits while `THREADS_MAX` are under way."""

    def answer(self, action: Action) -> None:
        """Do an action that a client waits for; it waits while `ANSWERS_MAX` are under way."""

    def flag(self) -> Flag:
        """A flag that is not set."""

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while."""

    def stir(self) -> None:
        """Something has come about that `wait_for` may wait for."""

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something is so, looked at whenever somebody stirs; or until the time is up."""

    def close(self) -> None:
        """Begin nothing more, whoever asks for it; what is under way ends by itself."""


class SystemThreads:
    """Threads of this process."""

    def __init__(self, *, steps_wait: bool = True) -> None:
        """`steps_wait`: a backend's verbs may wait for something, so that threads are of use to a plan."""
        self.clock: Clock = SYSTEM_CLOCK
        self.branches = Branches() if steps_wait else ONE_AFTER_THE_OTHER
        self._pool = ThreadPoolExecutor(thread_name_prefix="vm", max_workers=THREADS_MAX)
        self._turns = Turns(partial(self._submit, self._pool))
        self._answers = ThreadPoolExecutor(thread_name_prefix="control", max_workers=ANSWERS_MAX)
        self._stirred = threading.Condition()

    def begin(self, action: Action) -> None:
        """Do an action in a thread, when it is its turn."""
        self._turns.begin(action)

    def answer(self, action: Action) -> None:
        """Do an action in one of a few threads."""
        self._submit(self._answers, action)

    def _submit(self, pool: ThreadPoolExecutor, action: Action) -> None:
        """What comes once a worker has stopped is its next life's to do."""
        with contextlib.suppress(RuntimeError):  # the pool is closed
            pool.submit(action)

    def flag(self) -> Flag:
        """A flag that is not set."""
        return threading.Event()

    def sleep(self, seconds: float) -> None:
        """Let this thread sleep."""
        time.sleep(seconds)

    def stir(self) -> None:
        """Whoever waits looks again."""
        with self._stirred:
            self._stirred.notify_all()

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Wait in this thread."""
        with self._stirred:
            self._stirred.wait_for(is_so, timeout_s)

    def waiting(self) -> int:
        """How many actions wait for their turn, or for a thread."""
        queued = self._pool._work_queue.qsize()  # noqa: SLF001  the pool does not tell otherwise
        return self._turns.waiting() + queued

    def close(self) -> None:
        """Begin nothing more."""
        self._turns.clear()
        for pool in (self._pool, self._answers):
            pool.shutdown(wait=False, cancel_futures=True)
