"""Lines: what stands in a log, a line each, for people."""

from datetime import UTC, datetime
from typing import Any

from bus.exported import Standing
from bus.ports import Entry
from bus.quarantine import Quarantined
from schema.records import Record, Submitted
from schema.wire import json

REST_CHARACTERS_MAX = 160
"""How much of a record is shown to people; all of it with --json."""

QUARANTINED = "QUARANTINED"
"""The kind of what no service takes."""

_MACHINERY = frozenset(
    {"kind", "vm", "task", "request_id", "accept_by", "reply_to", "traceparent", "baggage", "dbg"}
)
"""What is shown elsewhere in a line, or of no use to people."""


def kind_of(one: Standing) -> str:
    """The kind of a record."""
    return one.record.kind if isinstance(one, Entry) else QUARANTINED


def vm_of(one: Standing) -> str | None:
    """The VM that a record is about, if it is about one."""
    return getattr(one.record, "vm", None) if isinstance(one, Entry) else None


def tasks_of(one: Standing) -> tuple[int, ...]:
    """The tasks that a record is about: a task's id is the offset of its `Submitted`."""
    if isinstance(one, Quarantined):
        return ()
    if isinstance(one.record, Submitted):
        return (one.offset,)
    tasks = (getattr(one.record, name, None) for name in ("task", "into"))
    return tuple(task for task in tasks if task is not None)


def line_of(one: Standing) -> str:
    """One line for people."""
    at = "-" if one.at is None else datetime.fromtimestamp(one.at, UTC).isoformat(timespec="milliseconds")
    task = next(iter(tasks_of(one)), "-")
    head = f"{one.offset:>8} {at.removesuffix('+00:00'):23} {kind_of(one):15}"
    line = f"{head} {vm_of(one) or '-':20} {task:>8}  {_rest(one)}"
    return harmless(line).rstrip()


def harmless(line: str) -> str:
    """A line of which no terminal obeys anything."""
    if line.isprintable():
        return line
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)


def _rest(one: Standing) -> str:
    if isinstance(one, Quarantined):
        return _cut(f"by {one.user or 'nobody says whom'}: {one.reason}")
    return _cut(fields_of(one.record))


def fields_of(record: Record) -> str:
    """What a record says besides its kind, VM and task, for people."""
    return _fields(record.model_dump(mode="json", exclude=set(_MACHINERY)))


def _fields(fields: dict[str, Any]) -> str:
    """All that says something."""
    return " ".join(
        f"{name}={_short(value)}" for name, value in fields.items() if value not in (None, "", [], {})
    )


def _short(value: Any) -> str:
    match value:
        case dict():
            fields = _fields({name: content for name, content in value.items() if name != "kind"})
            return f"{value.get('kind', '')}({fields})"
        case list():
            return f"[{', '.join(map(_short, value))}]"
        case _:
            return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= REST_CHARACTERS_MAX else f"{text[:REST_CHARACTERS_MAX]}…"
