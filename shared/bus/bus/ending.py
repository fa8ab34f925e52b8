"""Ending: how a process of ours is told to end, and waits for that."""

import signal
import threading

LOOK_S = 1.0
"""How long a signal may go unnoticed.

The kernel may hand it to any thread, Python handles it on the main thread, and that one, asleep, is not woken
for it: seen of a worker whose scripts ended at the same moment.
"""


def listen() -> threading.Event:
    """From now on SIGTERM and SIGINT set what is answered; on the main thread only."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def await_end(ended: threading.Event) -> None:
    """Sleep until it is set; on the main thread only."""
    while not ended.wait(LOOK_S):
        pass
