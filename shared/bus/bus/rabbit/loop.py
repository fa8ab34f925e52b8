"""Loop: one thread that runs pika's event loop through all connections, and whatever is handed to it."""

import random
import threading
from collections import deque
from collections.abc import Callable

from pika.adapters.select_connection import IOLoop

from bus.rabbit.constants import RETRY_FIRST_S, RETRY_MOST_S
from bus.trouble import report

Action = Callable[[], None]


class Loop:
    """Actions run one at a time, in order, on the loop's thread; once it has ended, none does."""

    def __init__(self, name: str) -> None:
        self.ioloop = IOLoop()
        self._actions: deque[Action] = deque()
        self._scheduled = False
        self._stopping = False
        self._ended = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def is_here(self) -> bool:
        """Whether this is the loop's thread."""
        return threading.current_thread() is self._thread

    def soon(self, action: Action) -> None:
        """Run an action soon; from any thread. One wake-up serves all that comes before it."""
        with self._lock:
            self._actions.append(action)
            if self._scheduled or self._ended:
                return
            self._scheduled = True
            self.ioloop.add_callback_threadsafe(self._drain)

    def later(self, delay_s: float, action: Action) -> None:
        """Run an action after a while; on the loop's thread only."""
        self.ioloop.call_later(delay_s, lambda: guarded(action))

    def every(self, interval_s: float, action: Action) -> None:
        """Run an action again and again; on the loop's thread only."""

        def again() -> None:
            guarded(action)
            self.ioloop.call_later(interval_s, again)

        self.ioloop.call_later(interval_s, again)

    def stop(self) -> None:
        """End the thread, once what is under way is done."""
        self._stopping = True
        self.soon(self.ioloop.stop)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; answers whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.ioloop.start()
            except Exception as error:  # noqa: BLE001  a thread's top: a bug must not leave the service deaf
                report(error)
        with self._lock:
            self._ended = True
        self.ioloop.close()

    def _drain(self) -> None:
        with self._lock:
            actions, self._actions = self._actions, deque()
            self._scheduled = False
        for action in actions:
            guarded(action)


class Backoff:
    """Delays that double from attempt to attempt, with jitter, until one succeeds."""

    def __init__(self) -> None:
        self._next_s = RETRY_FIRST_S

    def delay_s(self) -> float:
        """How long to wait before the next attempt."""
        delay, self._next_s = self._next_s, min(self._next_s * 2, RETRY_MOST_S)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnections, keeps no secret

    def reset(self) -> None:
        """An attempt has succeeded."""
        self._next_s = RETRY_FIRST_S


def guarded(action: Action) -> None:
    """Run an action; a bug in it is reported and costs nobody else anything."""
    try:
        action()
    except Exception as error:  # noqa: BLE001  the bus's loop: the next message is another's
        report(error)
