"""Passing: a source's connection itself goes to a worker of this host; nobody is between them then."""

import asyncio
import os
import socket

_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


def pass_on(source: asyncio.BaseTransport, worker: asyncio.BaseTransport, head: bytes) -> bool:
    """Send `head` to a worker, and the source's connection with it; answers whether that was possible.

    It is, by a Unix socket, for a socket whose bytes are not encrypted. Neither has anything to be written
    yet, and both are to be closed then: the worker has a descriptor of its own.
    """
    connected, line = source.get_extra_info("socket"), worker.get_extra_info("socket")
    if connected is None or line is None or source.get_extra_info("ssl_object") is not None:
        return False
    if line.family != socket.AF_UNIX:
        return False
    with socket.socket(fileno=os.dup(line.fileno())) as own:
        try:
            return socket.send_fds(own, [head], [connected.fileno()], _AT_ONCE) == len(head)
        except OSError:
            return False
