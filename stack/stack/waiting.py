"""Waiting: for a process to listen at its socket, and for all to answer without a word."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

READY_TIMEOUT_S = 60.0
_POLL_S = 0.02


def takes_connections(path: Path) -> bool:
    """Whether anybody listens there: the socket may be there before, and after."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def takes_connections_in_time(path: Path, lives: Callable[[], bool]) -> bool:
    """Wait until somebody listens; answers whether he does, while he `lives`."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not takes_connections(path):
        if not lives() or time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


@contextmanager
def unsaid() -> Iterator[None]:
    """What the client says of those it waits for is kept back: who starts a stack waits for all of it."""
    client = logging.getLogger("xenops")
    client.addFilter(_nothing)
    try:
        yield
    finally:
        client.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False
