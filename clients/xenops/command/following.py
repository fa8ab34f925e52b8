"""Following: a log that is read on a thread of its own, while the command looks at what has come."""

import threading
from collections.abc import Callable, Iterator

from bus.exported import Standing
from bus.ports import BusError

from xenops.log import Log


class Following:
    """Reads a log, and what comes; `lock` is held while `on_one` is told.

    From its beginning on, or from a time, `since`, in seconds since the epoch.
    """

    def __init__(self, log: Log, on_one: Callable[[Standing], None], since: float | None = None) -> None:
        self._log = log
        self._since = since
        self._on_one = on_one
        self._came = threading.Condition()
        self._ended = False
        self.lock = threading.Lock()
        self.trouble = ""
        """Why nothing more comes."""
        self._thread = threading.Thread(target=self._read, name="following", daemon=True)
        self._thread.start()

    @property
    def is_live(self) -> bool:
        """Whether all that was there when it began is read."""
        return self._log.is_live

    def await_that(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something is so, as far as what comes decides it; whether it is."""
        with self._came:
            return self._came.wait_for(lambda: self._ended or is_so(), timeout_s) and is_so()

    def close(self) -> None:
        """Read no more."""
        self._log.close()
        self._thread.join()

    def _begin(self) -> Iterator[Standing]:
        if self._since is None:
            return self._log.read(follow=True)
        return self._log.read_since(self._since, follow=True)

    def _read(self) -> None:
        try:
            for one in self._begin():
                with self.lock:
                    self._on_one(one)
                with self._came:
                    self._came.notify_all()
        except BusError as error:
            self.trouble = str(error)
        finally:
            with self._came:
                self._ended = True
                self._came.notify_all()
