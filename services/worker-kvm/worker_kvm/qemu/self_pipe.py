"""Self-pipe: who polls files is woken by it, from any thread, at any time."""

import socket
import threading
from contextlib import suppress
from typing import Self


class SelfPipe:
    """A thread that polls files hears by it of what is no file."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.settimeout(0)
        self.is_cancelled = threading.Event()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody polls any more; `wake` may still be called."""
        for end in (self._reader, self._writer):
            end.close()

    def fileno(self) -> int:
        """The file that is ready for reading once there was a `wake`."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Something has happened."""
        with suppress(OSError):
            self._writer.send(b"!")

    def cancel(self) -> None:
        """The task shall stop."""
        self.is_cancelled.set()
        self.wake()

    def drain(self) -> None:
        """Whatever it was woken for is looked at now."""
        with suppress(OSError):
            self._reader.recv(1 << 10)
