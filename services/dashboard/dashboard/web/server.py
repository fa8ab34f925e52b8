"""Server: HTTP on the bus's own loop, by uvicorn's protocol; connections that say nothing are let go."""

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

CONNECTIONS_MAX = 2_000
"""At a time; more are told to come again later."""

KEPT_S = 15
"""How long a connection is kept for the next request."""

HEAD_BYTES_MAX = 16 * 1024
"""Of a request's head."""

LAST_WORDS = "last_words"
"""In a request's state: to be called before its last words are sent to who takes nothing any more."""

AHEAD_BYTES = 128 * 1024
"""So much that a client has not taken yet the kernel keeps, twice; left to itself it would keep megabytes."""

SILENCE_S = 20.0
"""A client that takes longer to say what it wants is let go."""


LINGER_S = 1.0
"""How long after its last words a connection is closed."""

# It warns of each bad request, and of each connection too many: whoever sends those would fill a disk.
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class Server:
    """Makes what speaks with one client; see `bus.ports.Bus.listen`."""

    def __init__(self, app: ASGIApp) -> None:
        self._config = Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEPT_S,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        )
        self._config.load()
        self._state = ServerState()

    def connection(self) -> asyncio.Protocol:
        """One client's."""
        known: dict[str, Any] = {}
        connection = _Connection(self._config, self._state, known)
        known[LAST_WORDS] = connection.take_last_words
        return connection


class _Connection(H11Protocol):
    """Looks now and then whether its client says anything."""

    _waits = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connected: socket.socket = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD_BYTES)
        self.loop.call_later(SILENCE_S, self._look)

    def take_last_words(self) -> None:
        """Let what is sent next wait for the client beside what does already, in memory: it is little.

        The connection is closed then; if the client does not take it all soon, it is ended.
        """
        self.flow.resume_writing()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _look(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()  # what is left to send, nobody takes
            return
        cycle: object = self.cycle  # None before the first request
        waits = cycle is None or self.cycle.response_complete
        if waits and self._waits:
            self.transport.close()
            waits = False
        self._waits = waits
        self.loop.call_later(SILENCE_S, self._look)


def bind(host: str, port: int, remembered: Path | None) -> tuple[socket.socket, int]:
    """A bound socket and its port; of any free port, the one that `remembered` names is tried first.

    Raises:
        OSError: it is in use, or cannot be bound.
    """
    family, kind, number, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    for wanted in (*_ports(port, remembered), port):
        bound = socket.socket(family, kind, number)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((place[0], wanted))
            bound.listen()  # two may bind it, only one may listen
        except OSError as error:
            bound.close()
            if wanted == port:
                raise OSError(f"{host}:{port}: the page cannot be served there: {error.strerror}") from error
            continue
        return bound, int(bound.getsockname()[1])
    raise AssertionError("the port itself is tried last")


def _ports(port: int, remembered: Path | None) -> tuple[int, ...]:
    if port or remembered is None or not remembered.is_file():
        return ()
    last = remembered.read_text().strip().rstrip("/").rpartition(":")[2]
    return (int(last),) if last.isdecimal() and 0 < int(last) < 1 << 16 else ()
