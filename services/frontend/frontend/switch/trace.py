"""Trace: the last things that happened on the switch, for whoever looks on."""

from collections import deque
from itertools import islice

from schema.wire import json
from schema.wire.errors import JsonError
from schema.wire.value import Dict

from frontend.switch.protocol import Event, Message

ENTRIES = 16
"""Events that are kept, as the original keeps by default."""

TRUNCATE_BYTES = 256
"""Strings in a payload are cut after so many bytes, as the original's are by default."""

PARSED_BYTES_MAX = 64 * 1024
"""A longer payload is cut as it is; only a shorter one is read and cut string by string."""

_CUT = "…".encode()


class Ring:
    """Numbers events from 0; forgets all but the last."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=ENTRIES)
        self.next = 0

    def add(self, event: Event) -> None:
        """Something has happened."""
        message = event.message
        if message is not None and len(message.payload) > PARSED_BYTES_MAX:
            event = event._replace(message=Message(_cut(message.payload), message.kind))
        self._events.append(event)
        self.next += 1

    def since(self, start: int) -> list[tuple[int, Event]]:
        """What is kept from a number on, payloads cut."""
        first = self.next - len(self._events)
        skipped = max(0, min(start - first, len(self._events)))
        kept = islice(self._events, skipped, None)
        return [(number, _shown(event)) for number, event in enumerate(kept, first + skipped)]


def _shown(event: Event) -> Event:
    message = event.message
    return (
        event if message is None else event._replace(message=Message(_short(message.payload), message.kind))
    )


def _short(payload: bytes) -> bytes:
    """A payload that is JSON is written anew, each string cut; another is cut as it is."""
    try:
        content = json.loads(payload.decode("utf-8", "surrogateescape"))
    except JsonError:
        return _cut(payload)
    return json.dumps(_cut_strings(content)).encode("utf-8", "surrogateescape")


def _cut_strings(value: object) -> object:
    if isinstance(value, str):
        return _cut(value.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_cut_strings(item) for item in value]
    if isinstance(value, Dict):
        return Dict((str(_cut_strings(key)), _cut_strings(content)) for key, content in value.pairs)
    return value


def _cut(text: bytes) -> bytes:
    return text if len(text) < TRUNCATE_BYTES else text[:TRUNCATE_BYTES] + _CUT
