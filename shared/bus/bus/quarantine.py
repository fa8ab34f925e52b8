"""Quarantine: which messages of a log are no records that count, and what is kept of them for operators."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from schema.ids import InstanceName, Offset
from schema.records import ENVELOPE, Envelope

from bus.topology import EXCHANGE, routing_key

SHOWN_BYTES_MAX = 1_024
"""How much of a quarantined message is kept; the whole stands in the log, at its offset."""

REASON_CHARACTERS_MAX = 500
"""How long a reason may be; a record may be wrong in many places."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message of a log as the broker hands it over; all but `body` is the broker's own word.

    `user` is whom the broker let write it: a writer may leave it out, but cannot say another's.
    """

    exchange: str
    routing_key: str
    user: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that every reader of a log passes over: where it stands, why, and who may have written it.

    `log` is the instance whose log it is, or its observers' log. `producer`, `seq` and `at` (seconds since
    the epoch) are what the message itself says, where it can be read so far. `shown`: its beginning, escaped.
    """

    log: InstanceName
    offset: Offset
    reason: str
    routing_key: str
    user: str | None
    producer: str | None
    seq: int | None
    at: float | None
    size: int
    shown: str
    exchange: str = ""


class _Head(BaseModel):
    """What an envelope has, whatever its record is."""

    producer: str
    seq: int
    at: float | None = None


def judge(log: InstanceName, offset: Offset, arrival: Arrival) -> Envelope | Quarantined:
    """The record that a message is, or why it is none that counts.

    A record comes by the exchange, with the routing key of its instance, VM and kind: the broker lets nobody
    write a key whose kind is not his to write (`bus.roles`), so a record under another's key is forged.
    """
    try:
        envelope = ENVELOPE.validate_json(arrival.body)
    except ValidationError as error:
        return _quarantined(log, offset, arrival, complaint(error))
    key = routing_key(log, envelope.record)
    if arrival.exchange == EXCHANGE and arrival.routing_key == key:
        return envelope
    way = f"by the exchange {arrival.exchange!r} with the routing key {arrival.routing_key!r}"
    reason = f"forged: a {envelope.record.kind} comes by {EXCHANGE!r} with {key!r}, this came {way}"
    return _quarantined(log, offset, arrival, reason)


def writer(user: str | None, producer: str) -> str:
    """Whose numbers a record's number is one of: nobody can use up those of another user's producer."""
    return f"{user or ''}\n{producer}"


def complaint(error: ValidationError) -> str:
    """What does not parse, without what stands there: that may be a secret."""
    places = (
        f"{'.'.join(map(str, each['loc'])) or 'the message'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )
    return _shortened(f"it does not parse: {'; '.join(places)}", REASON_CHARACTERS_MAX)


def _quarantined(log: InstanceName, offset: Offset, arrival: Arrival, reason: str) -> Quarantined:
    head = _head(arrival.body)
    return Quarantined(
        log=log,
        offset=offset,
        reason=_shortened(reason, REASON_CHARACTERS_MAX),
        routing_key=_shortened(arrival.routing_key, REASON_CHARACTERS_MAX),
        user=arrival.user,
        producer=head.producer if head else None,
        seq=head.seq if head else None,
        at=head.at if head else None,
        size=len(arrival.body),
        shown=escaped(arrival.body[:SHOWN_BYTES_MAX]),
        exchange=_shortened(arrival.exchange, REASON_CHARACTERS_MAX),
    )


def _head(body: bytes) -> _Head | None:
    try:
        return _Head.model_validate_json(body)
    except ValidationError:
        return None


def escaped(body: bytes) -> str:
    r"""Bytes as printable ASCII: others as `\x1b`, so that no terminal obeys them."""
    return body.decode("latin-1").encode("unicode_escape").decode("ascii")


def unescaped(shown: str) -> bytes:
    """The bytes that were escaped."""
    return shown.encode("ascii").decode("unicode_escape").encode("latin-1")


def _shortened(text: Any, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
