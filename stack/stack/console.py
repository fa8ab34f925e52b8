"""Console: what a guest writes to its serial line, read from the socket that the VM's state names."""

import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.processes import StackError

LINE_BYTES_MAX = 4_096
"""A longer line is handed over in parts."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What a guest says to a terminal only: colours, where the cursor is."""


class Console:
    """One client of one console; everything that was heard is kept in a file."""

    def __init__(self, path: str, transcript: Path) -> None:
        """Connect: what the guest says from now on is heard. Errors: `StackError`."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._transcript = transcript.open("ab")
        self._rest = b""
        self._lines: deque[str] = deque()
        try:
            self._socket.connect(path)
        except OSError as error:
            self.close()
            raise StackError(f"the console {path} takes no connection ({error}): is the VM there?") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another one listen."""
        self._socket.close()
        self._transcript.close()

    def say(self, line: str) -> None:
        """Type a line."""
        self._socket.sendall(line.encode() + b"\n")

    def lines(self, timeout_s: float) -> Iterator[str]:
        """Each line as it comes, until the guest is gone or `timeout_s` over; another call goes on."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._lines:
                yield self._lines.popleft()
            heard = self._hear(deadline)
            if not heard:
                return
            self._take(heard)

    def _take(self, heard: bytes) -> None:
        *whole, self._rest = (self._rest + heard).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            whole.append(self._rest)
            self._rest = b""
        self._lines += map(_readable, whole)

    def _hear(self, deadline: float) -> bytes:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0 or not select.select([self._socket], [], [], remaining_s)[0]:
            return b""
        try:
            heard = self._socket.recv(LINE_BYTES_MAX)
        except ConnectionError:
            return b""
        self._transcript.write(heard)
        return heard


def _readable(line: bytes) -> str:
    """A line that cannot do anything to a terminal."""
    text = _CONTROL.sub("", line.decode(errors="replace")).rstrip()
    return "".join(letter for letter in text if letter.isprintable())
