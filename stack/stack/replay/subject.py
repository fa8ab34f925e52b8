"""Subject: what every service's core is to a replay, and the words that all of them have in common."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

from bus.ports import Entry
from bus.quarantine import Quarantined
from schema.records import Record
from xenops.lines import fields_of


class Subject(Protocol):
    """A service's core that is given a log; what it answers is lines for people."""

    def on_entry(self, entry: Entry) -> Iterator[str]:
        """Take the next entry; what the service does on it, if that is asked for."""

    def on_quarantined(self, one: Quarantined) -> None:
        """Take the next message that is no record."""

    def state(self) -> Iterator[str]:
        """What the service knows now."""


def words_of(record: Record) -> str:
    """A record that a service appends."""
    named = ((name, getattr(record, name, None)) for name in ("vm", "task"))
    about = " ".join(f"{name}={value}" for name, value in named if value is not None)
    return " ".join(part for part in (record.kind, about, fields_of(record)) if part)


def time_of(seconds: float) -> str:
    """A time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
