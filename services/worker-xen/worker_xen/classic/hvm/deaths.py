"""Deaths: tells of processes that end by themselves, of which nobody is the parent for sure."""

import contextlib
import os
import select
import threading
from collections.abc import Callable


class Deaths:
    """A thread that waits for processes to end; safe for any other."""

    def __init__(self) -> None:
        self._followed: dict[int, int] = {}
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self, on_death: Callable[[int], None]) -> None:
        """From now on tell whose process has ended."""
        self._thread = threading.Thread(target=self._run, args=(on_death,), name="xen-deaths", daemon=True)
        self._thread.start()

    def follow(self, owner: int, pid: int) -> None:
        """Tell when this one has ended; it has already, so it is told at once."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            descriptor = os.open(os.devnull, os.O_RDONLY)  # can be read at once, as a dead one's
        self.forget(owner)
        with self._lock:
            self._followed[owner] = descriptor
        self._look_again()

    def forget(self, owner: int) -> None:
        """Do not tell of it any more."""
        with self._lock:
            descriptor = self._followed.pop(owner, None)
            if descriptor is not None:
                os.close(descriptor)

    def stop(self) -> None:
        """Tell no more."""
        self._ending = True
        self._look_again()
        if self._thread is not None:
            self._thread.join()
        for owner in list(self._followed):
            self.forget(owner)
        os.close(self._wake)

    def _look_again(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _run(self, on_death: Callable[[int], None]) -> None:
        while not self._ending:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            with self._lock:
                owners = {descriptor: owner for owner, descriptor in self._followed.items()}
                for descriptor in owners:
                    poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    os.eventfd_read(self._wake)
                elif self._is_dead(owners[descriptor], descriptor):
                    on_death(owners[descriptor])

    def _is_dead(self, owner: int, descriptor: int) -> bool:
        """Whether it is still followed, which it is no more afterwards."""
        with self._lock:
            if self._followed.get(owner) != descriptor:
                return False
            del self._followed[owner]
            with contextlib.suppress(OSError):
                os.close(descriptor)
            return True
