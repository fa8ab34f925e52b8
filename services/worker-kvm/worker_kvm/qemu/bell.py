"""Bell: rung from any thread, at any time, and heard by who polls files."""

import socket
import threading
from contextlib import suppress
from typing import Self


class Bell:
    """One who waits for several things at once hears by it of those that are no files."""

    def __init__(self) -> None:
        self._bell, self._rope = socket.socketpair()
        for end in (self._bell, self._rope):
            end.settimeout(0)
        self.is_cancelled = threading.Event()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody listens any more; it may still be rung."""
        for end in (self._bell, self._rope):
            end.close()

    def fileno(self) -> int:
        """The file that is ready for reading once it was rung."""
        return self._bell.fileno()

    def ring(self) -> None:
        """Something has happened."""
        with suppress(OSError):
            self._rope.send(b"!")

    def cancel(self) -> None:
        """The task shall stop."""
        self.is_cancelled.set()
        self.ring()

    def hush(self) -> None:
        """Whatever it was rung for is looked at now."""
        with suppress(OSError):
            self._bell.recv(1 << 10)
