"""Workers: threads that look at what is in lanes; as many as lanes are busy, up to a limit."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic

from bus.ports import BusError

from xenops.toolstack.watch.lanes import Item, Lane, Lanes

WORKERS_MAX = 32
"""Threads of one watcher: so many VMs may be slow before another one is delayed."""

RETRY_S = 0.5
"""How long a lane rests when the service was not reached; the first rest of what failed otherwise."""

RETRY_S_MAX = 30.0
"""What fails again and again is looked at so often: each rest is twice the last one."""

_log = logging.getLogger("xenops.toolstack")


class Workers(Generic[Item]):
    """Does `look(item)` for every item that is offered; methods may be called from any thread.

    A look that fails is repeated until it succeeds. After a `BusError` its lane waits for it; after any other
    failure, which may be its own, the lane goes on.
    """

    def __init__(self, look: Callable[[Item], None], workers_max: int = WORKERS_MAX) -> None:
        self._look = look
        self._workers_max = workers_max
        self._changed = threading.Condition()
        self._lanes: Lanes[Item] = Lanes()
        self._threads: list[threading.Thread] = []
        self._failures: dict[Item, int] = {}
        self._free = 0
        self._stopping = False

    def __len__(self) -> int:
        """How many things wait."""
        with self._changed:
            return len(self._lanes)

    def offer(self, *items: tuple[Lane, Item]) -> None:
        """Have things looked at, in order within each lane."""
        with self._changed:
            for lane, item in items:
                self._lanes.offer(lane, item)
            for _ in range(min(self._lanes.ready - self._free, self._workers_max - len(self._threads))):
                self._hire()
            self._changed.notify(len(items))

    def _hire(self) -> None:
        name = f"toolstack-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        self._free += 1
        thread.start()

    def settled(self, timeout_s: float) -> bool:
        """Wait until nothing waits and nothing is looked at; answers whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._lanes.idle, timeout_s)

    def stop(self) -> None:
        """Look at nothing more; returns when no look is under way. Idempotent."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            lane, item = taken
            put_back = self._try(item)
            with self._changed:
                self._free += 1
                put_back(lane, item)
                self._changed.notify_all() if self._lanes.idle else self._changed.notify()

    def _next(self) -> tuple[Lane, Item] | None:
        with self._changed:
            while not self._stopping:
                rest_s = self._lanes.release(time.monotonic())
                if (taken := self._lanes.take()) is not None:
                    self._free -= 1
                    return taken
                self._changed.wait(rest_s)
            return None

    def _try(self, item: Item) -> Callable[[Lane, Item], None]:
        """Look; answers what is to be done with the lane then."""
        try:
            self._look(item)
        except BusError as error:
            if not self._stopping:
                _log.warning("%s: %s; once more in %g s", item, error, RETRY_S)
            return self._not_reached
        except Exception:  # noqa: BLE001  the top of a thread
            _log.exception("%s: what it has become is not known yet; it is looked at again", item)
            return self._failed
        return self._seen

    def _seen(self, lane: Lane, item: Item) -> None:
        self._failures.pop(item, None)
        self._lanes.done(lane)

    def _not_reached(self, lane: Lane, _: Item) -> None:
        self._lanes.again(lane, time.monotonic() + RETRY_S)

    def _failed(self, lane: Lane, item: Item) -> None:
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        rest_s = min(RETRY_S * 2.0 ** min(failures, 30), RETRY_S_MAX)
        self._lanes.later(lane, time.monotonic() + rest_s)
