"""Address: where a queue's servers on this host are found, and who of them is trusted.

Addresses are abstract ones, made from the broker's and the queue's names: they need no directory, and
vanish with their process. Only processes of the same user, or root's, are spoken with.
"""

import hashlib
import os
import socket
import struct
from collections.abc import Iterator

SERVERS_MAX = 8
"""Servers of one queue on one host that can be found; any more are reached through the broker."""

BACKLOG = 128
"""Connections that may wait to be taken; with more, the broker is used."""

_CREDENTIALS = struct.Struct("3i")
_ROOT = 0


def connect(broker: str, queue: str) -> socket.socket | None:
    """A connection to the first server of a queue on this host; a local socket answers without waiting."""
    for address in _addresses(broker, queue):
        candidate = _socket()
        if candidate.connect_ex(address) == 0 and is_trusted(candidate):
            return candidate
        candidate.close()
    return None


def listen(broker: str, queue: str) -> socket.socket | None:
    """A socket at the first free address of a queue."""
    for address in _addresses(broker, queue):
        listener = _socket()
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            continue
        return listener
    return None


def is_trusted(connected: socket.socket) -> bool:
    """Whether the other end belongs to us, or to root."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(credentials)[1] in {os.geteuid(), _ROOT}


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


def _addresses(broker: str, queue: str) -> Iterator[bytes]:
    for number in range(SERVERS_MAX):
        digest = hashlib.sha256(f"{broker}\n{queue}\n{number}".encode("utf-8", "surrogateescape"))
        yield b"\0xenops." + digest.hexdigest()[:32].encode()
