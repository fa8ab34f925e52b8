"""Survey: what the doctor looks at of a log: where it begins, its end, and what comes meanwhile.

However long a log is, little of it is read: its first entry, its last minute, and, only where the broker has
dropped a part of it already, as much of its end as a service that is well makes a snapshot in.
"""

import time
from collections.abc import Callable

from bus.exported import Standing
from bus.follow import RECORDS_MAX
from bus.ports import BusUnavailableError, Entry
from bus.retention import Coverage
from schema.log_records import Snapshotted

from xenops.command.checks import LogSeen
from xenops.command.following import Following
from xenops.log import Log

END_S = 60.0
"""So much of a log's end is read; workers write every five seconds."""

RECORDS_LOOKED_AT = 2 * RECORDS_MAX
"""Of a log that was dropped in part: a service that is well makes a snapshot in half of them."""

MARKS_MAX = 100
"""Before a log's first record stand at most so many marks, by which readers see that they are caught up. The
broker drops segments of 10 MB and more, so of a log whose first record is no further nothing was dropped."""

ALWAYS = ("redirector", "eventhub")
"""Services that every instance has, and that put the log away."""

OpenLog = Callable[[], Log]


class _End:
    """What was read of a log's end; told one after the other."""

    def __init__(self) -> None:
        self.last: Entry | None = None
        self.late_s: float | None = None
        self.coverage = Coverage()
        self.services: set[str] = set()

    def take(self, one: Standing, *, is_live: bool) -> None:
        """The next."""
        if not isinstance(one, Entry):
            return
        self.last = one
        if is_live:
            self.late_s = time.time() - one.at
        if isinstance(one.record, Snapshotted):
            self.coverage.note(one.record.service, one.record.next)
            self.services.add(one.record.service)


def survey(open_log: OpenLog, patience_s: float) -> LogSeen:
    """Look at a log; what comes is waited for so long.

    Raises:
        BusError: it cannot be read, or nothing of it came in time.
    """
    first = _first(open_log, patience_s)
    end = _followed(open_log, time.time() - END_S, patience_s)
    last = end.last or first
    return LogSeen(
        first=first.offset,
        last=last.offset,
        began_at=first.at,
        is_whole=end.last is not None,
        late_s=end.late_s,
        warnings=tuple(_late(open_log, first, last, patience_s)),
    )


def _first(open_log: OpenLog, patience_s: float) -> Entry:
    found: list[Entry] = []

    def take(one: Standing) -> None:
        if isinstance(one, Entry) and not found:
            found.append(one)

    following = Following(open_log(), take)
    try:
        following.await_that(lambda: bool(found), patience_s)
    finally:
        following.close()
    if not found:
        raise BusUnavailableError(following.trouble or f"nothing of it came within {patience_s:g} s")
    return found[0]


def _followed(open_log: OpenLog, since: float, patience_s: float) -> _End:
    """A log's end, and what comes until something does."""
    log, end = open_log(), _End()
    following = Following(log, lambda one: end.take(one, is_live=log.is_live), since)
    try:
        following.await_that(lambda: end.late_s is not None, patience_s)
    finally:
        following.close()
    return end


def _late(open_log: OpenLog, first: Entry, last: Entry, patience_s: float) -> list[str]:
    """Who puts the log away too late, of a log of which a part was dropped."""
    if first.offset <= MARKS_MAX:
        return []
    rate = (last.offset - first.offset) / max(1.0, last.at - first.at)
    log, end = open_log(), _End()
    since = last.at - RECORDS_LOOKED_AT / max(rate, 1e-6)
    following = Following(log, lambda one: end.take(one, is_live=False), since)
    try:
        following.await_that(lambda: log.is_live, patience_s)
        is_read = log.is_live
    finally:
        following.close()
    late = list(end.coverage.warnings(first.offset, last.offset + 1))
    if not is_read:
        return [*late, f"not all of the newest {RECORDS_LOOKED_AT} records were read: see --patience"]
    missing = (service for service in ALWAYS if service not in end.services)
    return [
        *late,
        *(f"{one} has put nothing away in the newest {RECORDS_LOOKED_AT} records" for one in missing),
    ]
