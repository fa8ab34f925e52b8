"""Insist: appends that nobody would repeat; what is refused for now is offered again until it is taken."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from schema.ids import InstanceName
from schema.records import Record

from bus.ports import Bus, BusBlockedError

OnTaken = Callable[[], None]
"""Told when the log has taken a record; on the bus's thread."""

RETRY_S = 0.5
"""How often what was refused is offered again."""

REFUSED_MAX = 100_000
"""Records that are kept meanwhile; a service that has more to say has lost its broker for good."""

_log = logging.getLogger("bus")


class Insistent:
    """One instance's log, for a service whose decisions and facts must get there, in their order.

    A broker that is out of memory or disk refuses records. Who has somebody to tell, tells them; who has
    decided or done something already cannot but try again.
    """

    def __init__(self, bus: Bus, instance: InstanceName) -> None:
        self._bus = bus
        self._instance = instance
        self._refused: deque[tuple[Record, OnTaken | None]] = deque()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to offer again what is refused."""
        self._bus.every(RETRY_S, self._offer_again)

    def append(self, record: Record, on_taken: OnTaken | None = None) -> None:
        """Append a record, now or later; from any thread."""
        with self._lock:
            if self._refused or not self._takes(record, on_taken):
                self._keep(record, on_taken)

    def mention(self, record: Record) -> None:
        """Append a record that is worth nothing later: now or never."""
        with self._lock:
            if not self._refused:
                self._takes(record)

    def _keep(self, record: Record, on_taken: OnTaken | None) -> None:
        if len(self._refused) >= REFUSED_MAX:
            _log.critical("%s is lost: the broker has taken nothing for too long", record.kind)
            return
        self._refused.append((record, on_taken))

    def _offer_again(self) -> None:
        with self._lock:
            while self._refused and self._takes(*self._refused[0]):
                self._refused.popleft()

    def _takes(self, record: Record, on_taken: OnTaken | None = None) -> bool:
        appended = self._bus.append(self._instance, record)
        if appended.done() and isinstance(appended.exception(), BusBlockedError):
            return False
        if on_taken is not None:
            appended.add_done_callback(lambda ended: _tell(ended, on_taken))
        return True


def _tell(appended: Future[None], on_taken: OnTaken) -> None:
    if not appended.cancelled() and appended.exception() is None:
        on_taken()
