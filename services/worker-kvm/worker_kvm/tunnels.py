"""Tunnels: between a socket that QEMU uses on this host and lines of a migration, each by a thread."""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from engine.image import Line


def open_tunnel_out(
    path: Path, lines: Sequence[Line], ending: ExitStack, owner: tuple[int, int] | None = None
) -> list[threading.Thread]:
    """A socket, `owner`'s, at which QEMU connects once for each line; until `ending` ends, or QEMU has.

    Answers the threads that carry: they end when QEMU hangs up and all that it said has been passed on.
    """
    path.unlink(missing_ok=True)
    ending.callback(path.unlink, missing_ok=True)
    listener = ending.enter_context(closing(socket.socket(socket.AF_UNIX)))
    listener.bind(str(path))
    listener.listen(len(lines))
    if owner is not None:
        os.chown(path, *owner, follow_symlinks=False)  # its owner may put anything there
    threads = [_carrying(_carry_accepted, listener, line) for line in lines]
    for thread in threads:
        ending.callback(thread.join)
    ending.callback(_shut, listener)
    for line in lines:
        ending.callback(line.shut)
    return threads


def open_tunnel_in(path: Path, line: Line, ending: ExitStack) -> threading.Thread:
    """A connection to a socket at which QEMU listens, and the thread that carries, until `ending` ends."""
    local = ending.enter_context(closing(socket.socket(socket.AF_UNIX)))
    local.connect(str(path))
    thread = _carrying(line.carry, local)
    ending.callback(thread.join)
    ending.callback(line.shut)
    return thread


def _carrying(carry: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=carry, args=args, name="way", daemon=True)
    thread.start()
    return thread


def _carry_accepted(listener: socket.socket, line: Line) -> None:
    with suppress(OSError):  # it was shut before QEMU has come
        local, _ = listener.accept()
        with local:
            line.carry(local)


def _shut(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
