"""Reading: an exported log, line by line, into a subject; what is no line of it is told, and passed over."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bus.exported import ExportError, Standing, imported
from bus.quarantine import Quarantined
from schema.ids import WorkerName
from schema.records import WorkerUp
from xenops.lines import harmless, line_of

from stack.processes import StackError
from stack.replay.eventhub import EventHubSubject
from stack.replay.redirector import RedirectorSubject
from stack.replay.subject import Subject
from stack.replay.worker import WorkerSubject

Say = Callable[[str], None]


class ServiceName(StrEnum):
    """Whose core is given the log."""

    REDIRECTOR = "redirector"
    EVENTHUB = "eventhub"
    WORKER = "worker"


class ReplayError(StackError):
    """The log cannot be replayed; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which service, up to which offset, and whether each of its steps is shown; which worker, if several."""

    service: ServiceName
    last: int | None = None
    steps: bool = False
    worker: str | None = None


def replay(path: Path, wanted: Wanted, say: Say) -> None:
    """Give an exported log to a service's core, and show what it knows at the end.

    Raises:
        ReplayError: there is no exported log, or not the one service that is wanted.
    """
    subject = _subject(path, wanted)
    first = last = None
    records = passed_over = 0
    for one in _standing(path, wanted.last, say):
        first, last = one.offset if first is None else first, one.offset
        passed_over += isinstance(one, Quarantined)
        records += not isinstance(one, Quarantined)
        if wanted.steps:
            say(line_of(one))
        for line in _take(subject, one):
            say(harmless(f"    {line}"))
    if first is None:
        raise ReplayError(f"nothing in {path} is of a log: `xenops log --export FILE` writes one")
    say(f"{wanted.service} after {records} records, offsets {first} to {last}, {passed_over} in quarantine")
    if first > 0:
        say(f"what came before offset {first} is not in the file, so what it led to is not known")
    for line in subject.state():
        say(harmless(line))


def _standing(path: Path, last: int | None, say: Say) -> Iterator[Standing]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    one = imported(line)
                except ExportError as error:
                    say(harmless(f"line {number} is passed over: {error}"))
                    continue
                if last is not None and one.offset > last:
                    return
                yield one
    except OSError as error:
        raise ReplayError(f"cannot read the exported log {path}: {error}") from error


def _take(subject: Subject, one: Standing) -> Iterator[str]:
    """A bug of the core may be what is looked for: it is shown, and then comes the next record."""
    try:
        if isinstance(one, Quarantined):
            subject.on_quarantined(one)
        else:
            yield from subject.on_entry(one)
    except Exception:  # noqa: BLE001  as the bus does with what a handler raises
        yield f"the core fails at offset {one.offset}:"
        yield from traceback.format_exc().splitlines()


def _subject(path: Path, wanted: Wanted) -> Subject:
    match wanted.service:
        case ServiceName.REDIRECTOR:
            return RedirectorSubject(leads=wanted.steps)
        case ServiceName.EVENTHUB:
            return EventHubSubject(tells=wanted.steps)
        case ServiceName.WORKER:
            return WorkerSubject(_worker(path, wanted), acts=wanted.steps)


def _worker(path: Path, wanted: Wanted) -> WorkerName:
    if wanted.worker is not None:
        return WorkerName(wanted.worker)
    records = (getattr(one, "record", None) for one in _standing(path, wanted.last, lambda _: None))
    names = sorted({record.worker for record in records if isinstance(record, WorkerUp)})
    if len(names) != 1:
        raise ReplayError(
            f"which worker? Name one by --worker; in {path} were up: {', '.join(names) or 'none'}"
        )
    return names[0]
