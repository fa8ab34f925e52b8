"""Deliveries: a whole message in what the broker has sent, read at once instead of frame by frame.

pika makes objects of each of a message's three frames and copies all that it has not read yet for each of
them: most of what a record costs its readers. What is no whole message here, pika reads as ever, and so
whatever is wrong with it.
"""

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pika.data
from pika import frame, spec

_FRAME = struct.Struct(">BHI")
"""How a frame begins: its type, channel, and the bytes of its content, which ends with one more."""

_CONTENT = struct.Struct(">HHQH")
"""How a header's content begins: class, weight, the bytes of the body, which properties there are."""

_DELIVER = struct.pack(">I", spec.Basic.Deliver.INDEX)
_TAG = struct.Struct(">QB")
_LONG = struct.Struct(">Q")
_SIGNED = struct.Struct(">q")
_MORE_FLAGS = 1
"""Said of properties that AMQP does not have yet."""

_AROUND = spec.FRAME_HEADER_SIZE + spec.FRAME_END_SIZE

_OFFSET = "x-stream-offset"
_OFFSET_TABLE = struct.pack(">IB", 25, len(_OFFSET)) + _OFFSET.encode() + b"l"
"""How the table of headers begins whose only one is a stream's offset."""


class Delivery(NamedTuple):
    """One message as pika's channels want it, and where the next frame begins."""

    method: "frame.Method[spec.Basic.Deliver]"
    header: frame.Header
    body: bytes
    end: int


def delivery_at(data: bytes, at: int) -> Delivery | None:
    """The delivery that begins at a place, if all of it is here and its body is in one frame."""
    try:
        kind, channel, size = _FRAME.unpack_from(data, at)
        content = at + spec.FRAME_HEADER_SIZE
        if kind != spec.FRAME_METHOD or data[content : content + len(_DELIVER)] != _DELIVER:
            return None
        head = at + _AROUND + size
        kind, head_channel, size = _FRAME.unpack_from(data, head)
        class_id, _, length, flags = _CONTENT.unpack_from(data, head + spec.FRAME_HEADER_SIZE)
        fragment = head + _AROUND + size
        expected = (spec.FRAME_HEADER, channel, spec.BasicProperties.INDEX)
        if (kind, head_channel, class_id) != expected or flags & _MORE_FLAGS:
            return None
        end = fragment
        if length:
            kind, body_channel, size = _FRAME.unpack_from(data, fragment)
            end = fragment + _AROUND + size
            if (kind, body_channel, size) != (spec.FRAME_BODY, channel, length):
                return None
        if not data[head - 1] == data[fragment - 1] == data[end - 1] == spec.FRAME_END:
            return None
        method = _method(data, content + len(_DELIVER))
        properties = _properties(data, head + spec.FRAME_HEADER_SIZE + _CONTENT.size, flags)
    except (struct.error, IndexError):
        return None
    body = data[fragment + spec.FRAME_HEADER_SIZE : end - 1] if length else b""
    return Delivery(frame.Method(channel, method), frame.Header(channel, length, properties), body, end)


def frame_end(data: bytes, at: int) -> int | None:
    """Where the frame ends that begins at a place; None when not all of it is here."""
    if len(data) - at < spec.FRAME_HEADER_SIZE:
        return None
    end: int = at + _AROUND + _FRAME.unpack_from(data, at)[2]
    return end if end <= len(data) else None


def _method(data: bytes, place: int) -> spec.Basic.Deliver:
    consumer, place = _text(data, place)
    tag, bits = _TAG.unpack_from(data, place)
    exchange, place = _text(data, place + _TAG.size)
    key, _ = _text(data, place)
    return spec.Basic.Deliver(consumer, tag, bool(bits & 1), exchange, key)


def _properties(data: bytes, place: int, flags: int) -> spec.BasicProperties:
    properties = spec.BasicProperties()
    for name, read in _layout(flags):
        value, place = read(data, place)
        setattr(properties, name, value)
    return properties


def _text(data: bytes, place: int) -> tuple[Any, int]:
    """A short string; bytes where it is no text, as pika has it."""
    end = place + 1 + data[place]
    value = data[place + 1 : end]
    try:
        return value.decode(), end
    except UnicodeDecodeError:
        return value, end


def _byte(data: bytes, place: int) -> tuple[Any, int]:
    return data[place], place + 1


def _long(data: bytes, place: int) -> tuple[Any, int]:
    return _LONG.unpack_from(data, place)[0], place + _LONG.size


def _table(data: bytes, place: int) -> tuple[Any, int]:
    value = place + len(_OFFSET_TABLE)
    if data[place:value] == _OFFSET_TABLE:
        return {_OFFSET: _SIGNED.unpack_from(data, value)[0]}, value + _SIGNED.size
    return pika.data.decode_table(data, place)


_Read = Callable[[bytes, int], tuple[Any, int]]

_PROPERTIES: tuple[tuple[str, _Read], ...] = (
    ("content_type", _text),
    ("content_encoding", _text),
    ("headers", _table),
    ("delivery_mode", _byte),
    ("priority", _byte),
    ("correlation_id", _text),
    ("reply_to", _text),
    ("expiration", _text),
    ("message_id", _text),
    ("timestamp", _long),
    ("type", _text),
    ("user_id", _text),
    ("app_id", _text),
    ("cluster_id", _text),
)
"""In the order in which they stand; the first is told by the highest of 16 flags."""


@cache
def _layout(flags: int) -> tuple[tuple[str, _Read], ...]:
    """The properties that there are."""
    return tuple(each for place, each in enumerate(_PROPERTIES) if flags & 1 << (15 - place))
