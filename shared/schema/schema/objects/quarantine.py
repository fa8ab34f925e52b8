"""Quarantine: what is told of messages of a log that no service takes."""

from schema.wire.types import Struct, wire_default


class QuarantinedRecord(Struct, wire="quarantined_record"):
    """A message that every service passes over, and why.

    `log` and `offset` say where it stands. `user` is whom the broker let write it, `producer`, `seq` and `at`
    (seconds since the epoch) are what it says of itself; "", 0 and 0.0 where it does not. `shown` is the
    beginning, escaped, of its `size` bytes. `exchange` is the way by which it came. `done`: what an operator,
    `by`, has had done with it, "retried" or "discarded"; "" while nobody has.
    """

    log: str
    offset: int
    reason: str
    routing_key: str
    user: str
    producer: str
    seq: int
    at: float
    size: int
    shown: str
    exchange: str = wire_default("")
    done: str = wire_default("")
    by: str = wire_default("")


class Quarantine(Struct, wire="quarantine"):
    """The newest such messages, newest first, of `total` that there were."""

    total: int
    records: tuple[QuarantinedRecord, ...]
