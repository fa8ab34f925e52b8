"""Frames: what travels over a direct connection: a request, an answer to one, a sign of life."""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from bus.ports import Request

BODY_BYTES_MAX = 64 * 1024 * 1024
NAME_CHARACTERS_MAX = 1_000
"""Longer messages and names go by the broker."""

FRAME_BYTES_MAX = BODY_BYTES_MAX + 16_384
"""A longer frame is no frame of ours."""

_HEAD = struct.Struct(">IBHHH")
"""The bytes that follow, the kind, and the lengths of the three names; 0xffff where there is none."""

_NONE = 0xFFFF


class Kind(enum.IntEnum):
    """What a frame is."""

    REQUEST = 0
    """A message whose answer, if any, goes to its own reply address, at the broker."""
    QUESTION = 1
    """A message whose answer comes back on this connection."""
    ANSWER = 2
    PING = 3
    PONG = 4


class FrameError(Exception):
    """What came is no frame: the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message and what it is."""

    kind: Kind
    request: Request


def fits(request: Request) -> bool:
    """Whether a message is short enough for a frame."""
    longest = max(len(name or "") for name in _names(request))
    return len(request.body) <= BODY_BYTES_MAX and longest <= NAME_CHARACTERS_MAX


def encode(kind: Kind, request: Request) -> bytes:
    """A frame's bytes.

    Raises:
        FrameError: a name or the body is too long.
    """
    if not fits(request):
        raise FrameError(f"a message of {len(request.body)} bytes is too long for a direct connection")
    names = [_octets(name) for name in _names(request)]
    lengths = [_NONE if name is None else len(name) for name in names]
    tail = b"".join(name for name in names if name is not None)
    count = _HEAD.size - 4 + len(tail) + len(request.body)
    return _HEAD.pack(count, kind, *lengths) + tail + request.body


@dataclass(slots=True)
class FrameReader:
    """Puts frames together from whatever pieces they come in."""

    _held: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Some more bytes; hands over the frames that are complete.

        Raises:
            FrameError: these are no frames.
        """
        self._held += data
        begin = 0
        while len(self._held) - begin >= _HEAD.size:
            count, kind, *lengths = _HEAD.unpack_from(self._held, begin)
            if count > FRAME_BYTES_MAX or kind not in _KINDS:
                raise FrameError("what came over a direct connection is no frame")
            end = begin + 4 + count
            if len(self._held) < end:
                break
            yield Frame(Kind(kind), _request(self._held[begin + _HEAD.size : end], lengths))
            begin = end
        del self._held[:begin]


_KINDS = frozenset(Kind)


def _request(content: bytearray, lengths: list[int]) -> Request:
    """What follows a frame's head: the names that there are, and the body."""
    names: list[str | None] = []
    begin = 0
    for length in lengths:
        end = begin if length == _NONE else begin + length
        if end > len(content):
            raise FrameError("a frame's names are longer than the frame")
        names.append(None if length == _NONE else _text(content[begin:end]))
        begin = end
    return Request(bytes(content[begin:]), *names)


def _names(request: Request) -> tuple[str | None, str | None, str | None]:
    """In the order in which `Request` takes them."""
    return request.reply_to, request.correlation_id, request.traceparent


def _octets(name: str | None) -> bytes | None:
    return None if name is None else name.encode("utf-8", "surrogateescape")


def _text(octets: bytearray) -> str:
    return octets.decode("utf-8", "surrogateescape")
