"""Carrying: bytes of one connection to another and back, until either ends; then both do."""

import socket
from contextlib import suppress

from engine.migrate.wire import Wire

PIECE_BYTES = 1 << 18

_LOOK_S = 60.0
"""How long at a time both may be silent: for as long as they live."""


def carry(one: Wire, other: Wire) -> None:
    """Carry in one thread, for TLS is not for two: so one way waits while the other's listener is slow.

    That must not be for ever: of those who speak here, one only answers, in few bytes.
    """
    try:
        while True:
            for speaker in one.ready((other,), _LOOK_S):
                listener = other if speaker is one else one
                data = speaker.receive(PIECE_BYTES)
                if not data:
                    return
                listener.send(data)
    except OSError:
        return
    finally:
        for wire in (one, other):
            with suppress(OSError):
                wire.shut(socket.SHUT_RDWR)
