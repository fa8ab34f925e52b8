"""Ahead: pieces are read by a thread of its own while whoever wants them does something else."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def read_ahead(pieces: Iterable[bytes], most: int) -> Iterator[Iterator[bytes]]:
    """The same pieces, of which up to `most` wait for whoever takes them; while inside, and no longer.

    What reading them raises is raised where the next one should be.
    """
    ahead = _Ahead(pieces, most)
    thread = threading.Thread(target=ahead.read, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield ahead.taken()
    finally:
        ahead.close()
        thread.join()


class _Ahead:
    """Between the thread that reads and the one that takes."""

    def __init__(self, pieces: Iterable[bytes], most: int) -> None:
        self._pieces, self._most = pieces, most
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._failure: Exception | None = None
        self._is_over = self._is_closed = False

    def read(self) -> None:
        """Read all, or until nobody wants any more."""
        try:
            for piece in self._pieces:
                if not self._put(piece):
                    break
        except Exception as error:  # noqa: BLE001  a thread's top: raised again in the thread that takes
            self._failure = error
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def taken(self) -> Iterator[bytes]:
        """All, in their order."""
        while (piece := self._next()) is not None:
            yield piece
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """No more is wanted."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _put(self, piece: bytes) -> bool:
        """Answers whether more is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._waiting) < self._most)
            self._waiting.append(piece)
            self._changed.notify_all()
            return not self._is_closed

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_over)
            self._changed.notify_all()
            return self._waiting.popleft() if self._waiting else None
