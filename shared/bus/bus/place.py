"""Place: where a reader stands in a log, and all that reading on from there takes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from schema.ids import Offset

_FIRST = Offset(0)


@dataclass(frozen=True, slots=True)
class Place:
    """`next` is the first offset that has not been read.

    `anchor` tells the message before it: where another one stands there, or none, the log is not the one
    that was read. `producers` is each writer's last number that counted (see `bus.dedup`).
    """

    next: Offset = _FIRST
    anchor: str = ""
    producers: Mapping[str, int] = field(default_factory=dict)


def anchor_of(body: bytes, correlation_id: str | None) -> str:
    """What tells a message of a log from any other.

    Each marker is made once, and so is each record, which may be sent again: `correlation_id` differs then.
    """
    return hashlib.blake2b(body + (correlation_id or "").encode(), digest_size=12).hexdigest()
