"""Messages of HTTP/1.1: a request as it came, an answer as bytes, and the limits of both."""

from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import NamedTuple

from schema.rpc import REQUEST_BYTES_MAX

BODY_BYTES_MAX = REQUEST_BYTES_MAX
"""A request of the interface, or a message of the switch."""

HEAD_BYTES_MAX = 64 * 1024
"""Request line and headers together; the longest that the original's clients send has some hundred bytes."""

HEADERS_MAX = 100
"""Header lines of one request."""

LENGTH_TROUBLE = f"give a content-length of at most {BODY_BYTES_MAX}"
"""What is said to a request whose end cannot be told."""


class HttpRequest(NamedTuple):
    """One request: `target` is as it came, header names are in small letters."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """A header's value, the first if there are several."""
        return next((value for known, value in self.headers if known == name), None)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one door's clients may take."""

    connections_max: int = 8192
    """Clients at a time; one that waits costs some kB."""

    bytes_max: int = 256 << 20
    """Of the bodies of all clients' requests: those that come in, wait their turn, or are at the door."""

    request_s: float = 60.0
    """How long a request may take to come in."""

    idle_s: float | None = 60.0
    """How long a client may keep a connection and say nothing; None: for ever."""

    answers_after_end: bool = True
    """Whether one who has said all that he has to say is still answered, or is taken for gone."""

    linger_s: float = 5.0
    """How long he is answered; and how long we listen to one who was refused, so that our words reach him."""

    sweep_s: float = 1.0
    """How often those are looked for whose time is over."""


class RefusedError(Exception):
    """What came in is no request that is taken; nothing that follows it can be told apart."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def encode_reply(status: int, body: bytes, more: bytes = b"", *, closes: bool = False) -> bytes:
    """An answer; `more` are further header lines, each with its end."""
    last = b"connection: close\r\n" if closes else b""
    return b"%b%d\r\n%b%b\r\n%b" % (_opening(status), len(body), more, last, body)


@cache
def _opening(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: ".encode()
