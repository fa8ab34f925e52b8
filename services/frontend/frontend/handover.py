"""Handover: the socket by which xapi hands over connections that it has accepted for migrations."""

import asyncio
import logging
import os
import socket
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from bus.ports import Bus
from schema.ids import InstanceName

from frontend.arrivals import read_handover
from frontend.http.message import encode_reply
from frontend.migration import Migrations

MESSAGE_BYTES_MAX = 16_384
"""As much as the original reads: one message, and what does not fit into it is none."""

MESSAGE_S = 30.0
"""How long a client may stay silent; xapi speaks at once."""

CONTROLS_MAX = 1_000
"""Handovers at a time: as many as connections of migrations may wait."""

_FDS_MAX = 4
"""Files that are taken along with a message, so that all but the first are closed and not lost."""

_log = logging.getLogger("frontend")


class Handovers:
    """Those of one instance. All of it runs on the bus's thread.

    A control connection lasts as long as what it has brought: until then xapi leaves that alone.
    """

    def __init__(self, bus: Bus, migrations: Migrations, instance: InstanceName) -> None:
        self._bus = bus
        self._migrations = migrations
        self._instance = instance
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._lasting: dict[socket.socket, socket.socket] = {}

    def take(self, control: socket.socket) -> None:
        """A control connection; what it says is read from the socket, for a file comes along."""
        if len(self._silent) + len(self._lasting) >= CONTROLS_MAX:
            control.close()
            return
        loop = asyncio.get_running_loop()
        self._silent[control] = loop.call_later(MESSAGE_S, self._forget, control)
        loop.add_reader(control, self._on_message, control)

    def close(self) -> None:
        """Part from all; the connections that they have brought are the bus's."""
        for control in list(self._silent):
            self._forget(control)
        for control in list(self._lasting):
            self._on_end(control)

    def _on_message(self, control: socket.socket) -> None:
        try:
            message, files, _, _ = socket.recv_fds(
                control, MESSAGE_BYTES_MAX, _FDS_MAX, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            message, files = b"", []
        connections = [found for found in map(_connection, files) if found is not None]
        for surplus in connections[1:]:
            surplus.close()
        if connections:
            self._hand_on(control, connections[0], message)
        else:
            self._refuse(control, "no connection came along")

    def _hand_on(self, control: socket.socket, connected: socket.socket, message: bytes) -> None:
        opening = read_handover(message, self._instance)
        if isinstance(opening, str):
            with suppress(OSError):
                connected.send(encode_reply(HTTPStatus.NOT_FOUND, opening.encode(), closes=True), _AT_ONCE)
            _end(connected)
            self._refuse(control, opening)
            return
        self._leave(control)
        self._lasting[control] = connected.dup()
        stream = self._migrations.source(opening, partial(self._on_end, control))
        self._bus.adopt(connected, lambda: stream)

    def _refuse(self, control: socket.socket, words: str) -> None:
        _log.warning("instance %s: what was handed over is no migration: %s", self._instance, words)
        with suppress(OSError):
            control.send(encode_reply(HTTPStatus.NOT_FOUND, words.encode(), closes=True), _AT_ONCE)
        self._forget(control)

    def _on_end(self, control: socket.socket) -> None:
        """The connection is over, also for xapi, which has it still open."""
        connected = self._lasting.pop(control, None)
        if connected is not None:
            _end(connected)
            control.close()

    def _forget(self, control: socket.socket) -> None:
        self._leave(control)
        control.close()

    def _leave(self, control: socket.socket) -> None:
        """Nothing more is read from it."""
        asyncio.get_running_loop().remove_reader(control)
        self._silent.pop(control).cancel()


_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


def _connection(file: int) -> socket.socket | None:
    """A client's connection; a file that is none is closed."""
    try:
        found = socket.socket(fileno=file)
    except OSError:
        os.close(file)
        return None
    try:
        found.getpeername()
    except OSError:
        found.close()
        return None
    if found.type is not socket.SOCK_STREAM:
        found.close()
        return None
    return found


def _end(connected: socket.socket) -> None:
    """End a connection for everybody who has it, not for us alone."""
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
    connected.close()
