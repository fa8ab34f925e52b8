"""Poller: looks at what must be looked at now and then, because nothing tells."""

import logging
import threading
from collections.abc import Callable, Sequence

_LOG = logging.getLogger(__name__)


class Poller:
    """Does its acts one after the other, at once and then every `period_s`, until it is closed."""

    def __init__(self, acts: Sequence[Callable[[], None]], period_s: float) -> None:
        self._acts = acts
        self._period_s = period_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._go, name="poller", daemon=True)

    def start(self) -> None:
        """Begin, with what happened while nobody looked."""
        self._thread.start()

    def close(self) -> None:
        """End; what is under way is waited for."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go(self) -> None:
        while True:
            for act in self._acts:
                try:
                    act()
                except Exception:  # noqa: BLE001  a thread's top: the next round may do better
                    _LOG.exception("a round has failed")
            if self._closed.wait(self._period_s):
                return
