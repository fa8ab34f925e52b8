"""Pipe: one direct connection: frames out from any thread, frames in on the loop's thread."""

import itertools
import socket
import threading
from collections import deque
from collections.abc import Callable

from bus.direct.frames import FRAME_BYTES_MAX, Frame, FrameError, FrameReader
from bus.loop import Loop, guarded

READ_BYTES = 65_536
"""Taken from the socket at a time; beyond 128 kB the C library asks the kernel for memory each time."""

TOGETHER_MAX = 256
"""Frames that are sent by one call."""

UNSENT_BYTES_MAX = 2 * FRAME_BYTES_MAX
"""Bytes that may wait for a peer that does not read: it is dropped then."""


class Pipe:
    """A connected socket. `on_frame` and `on_lost` are called on the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        connected: socket.socket,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._socket = connected
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._scheduled = False  # the loop will send what waits
        self._lock = threading.Lock()
        self._is_open = True
        connected.setblocking(False)  # noqa: FBT003  the socket module's own interface
        loop.asyncio.add_reader(connected.fileno(), self._on_readable)

    def send(self, frame: bytes) -> None:
        """Send a frame: from another thread at once, on the loop's together with what follows in its turn."""
        is_here = self._loop.is_here()
        with self._lock:
            if not self._is_open:
                return
            self._unsent.append(memoryview(frame))
            self._unsent_bytes += len(frame)
            if not (is_here or self._scheduled):
                self._write()
            must_schedule = bool(self._unsent) and not self._scheduled
            self._scheduled = self._scheduled or must_schedule
            is_stuck = self._unsent_bytes > UNSENT_BYTES_MAX
        if is_stuck:
            self._loop.soon(self.close)
        elif must_schedule and is_here:
            self._loop.asyncio.call_soon(self._flush)
        elif must_schedule:
            self._loop.soon(self._flush)

    def close(self) -> None:
        """Part from the peer; on the loop's thread. Idempotent."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._loop.asyncio.remove_reader(self._socket.fileno())
            self._loop.asyncio.remove_writer(self._socket.fileno())
            self._socket.close()
        guarded(self._on_lost)

    def _write(self) -> None:
        """Send what the socket takes; trouble is met by the next read."""
        try:
            while self._unsent:
                self._drop(self._socket.sendmsg(list(itertools.islice(self._unsent, TOGETHER_MAX))))
        except OSError:
            return

    def _drop(self, sent: int) -> None:
        """So many bytes are on their way."""
        self._unsent_bytes -= sent
        while sent:
            first = self._unsent.popleft()
            if sent < len(first):
                self._unsent.appendleft(first[sent:])
            sent -= min(sent, len(first))

    def _flush(self) -> None:
        with self._lock:
            if not self._is_open:
                return
            self._write()
            self._scheduled = bool(self._unsent)
            if self._scheduled:
                self._loop.asyncio.add_writer(self._socket.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        with self._lock:
            self._write()
            self._scheduled = bool(self._unsent)
            if not self._scheduled:
                self._loop.asyncio.remove_writer(self._socket.fileno())

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
            if not data:
                self.close()
                return
            for frame in self._reader.feed(data):
                guarded(lambda frame=frame: self._on_frame(frame))  # type: ignore[misc]
                if not self._is_open:
                    return
        except BlockingIOError:
            return
        except (OSError, FrameError):
            self.close()
