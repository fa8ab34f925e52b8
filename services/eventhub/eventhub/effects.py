"""Effects: all that the event hub's core may ask its shell to do."""

from dataclasses import dataclass

from schema.records import Record


@dataclass(frozen=True, slots=True)
class Address:
    """Where an answer goes; a request without `reply_to` has none."""

    reply_to: str
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """Send one answer to all who asked the same."""

    body: bytes
    to: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """Append a record, behind those that belong before it; should that fail, tell `on_append_failed`."""

    record: Record
    before: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a worker the same; tell `on_worker_answer` what comes of it."""

    number: int
    body: bytes


Effect = Reply | Append | Ask
