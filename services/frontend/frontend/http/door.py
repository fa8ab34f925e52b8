"""Door: what is behind an HTTP server, and what it sees of a client."""

import asyncio
from typing import Any, Protocol

from frontend.http.message import HttpRequest, Limits


class Client(Protocol):
    """One connection, as a door sees it. `state` is the door's own, for whatever it has to know of him."""

    state: Any
    loop: asyncio.AbstractEventLoop

    def reply(self, status: int, body: bytes, more: bytes = b"") -> None:
        """Answer the request at hand, with `more` header lines; without one, nothing happens."""


class Door(Protocol):
    """What is behind a door. All of it is called on the event loop's thread; nothing may block."""

    def on_request(self, client: Client, request: HttpRequest) -> None:
        """One request; answer it by `client.reply`, now or later. The next one waits for that."""

    def on_closed(self, client: Client) -> bool:
        """The connection is no more; an answer to it goes nowhere.

        Answers whether the request at hand is seen to all the same: then its body counts until that `reply`.
        """

    def take_over(self, request: HttpRequest) -> asyncio.Protocol | None:
        """Who takes the connection's bytes after this head, if it is no request but the start of a stream.

        It gets `connection_made` with the transport, then whatever has come in after the head, and writes the
        answer's head itself.
        """


class Kept(Client, Protocol):
    """One connection, as its keeper sees it."""

    def abort(self) -> None:
        """Part from the client at once."""

    def on_time(self, now: float) -> None:
        """Let go of a client who keeps us waiting."""


class Keeper(Protocol):
    """Who keeps the connections of a door, as one of them sees him."""

    door: Door
    limits: Limits

    def admit(self, connection: Kept) -> bool:
        """Count a connection in; answers whether there is a place for it."""

    def hold(self, size: int) -> bool:
        """Count some bytes of requests in, or out; answers whether there was room for them."""

    def dismiss(self, connection: Kept) -> bool:
        """Count a connection out; answers whether it was in."""

    def report(self, error: Exception) -> None:
        """A bug behind the door; only one request has suffered from it."""
