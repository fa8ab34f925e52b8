"""Quarantine: the newest messages of the log that no service takes, for operators to look at."""

from collections import deque

from bus.quarantine import Quarantined
from bus.retrial import DISCARDED, RETRIED
from schema.objects.quarantine import Quarantine, QuarantinedRecord
from schema.overseen import Acted, QuarantineDiscarded, QuarantineRetried, message_name

KEPT_MAX = 100
"""Messages that are kept, the newest; each takes some kB at most."""

WISHES_MAX = 100
"""Operators' wishes that are remembered until they are done, the newest."""


NOTHING = Quarantine(total=0, records=())


class QuarantineFold:
    """What has been passed over, counted, and the newest of it."""

    def __init__(self) -> None:
        self._total = 0
        self._newest: deque[QuarantinedRecord] = deque(maxlen=KEPT_MAX)
        self._wishes: deque[Acted] = deque(maxlen=WISHES_MAX)

    def on_quarantined(self, one: Quarantined) -> None:
        """Take the next one, unless it is there: a log that has no snapshot is read once more."""
        if any((kept.log, kept.offset) == (one.log, one.offset) for kept in self._newest):
            return
        self._total += 1
        self._newest.appendleft(
            QuarantinedRecord(
                log=one.log,
                offset=one.offset,
                reason=one.reason,
                routing_key=one.routing_key,
                user=one.user or "",
                producer=one.producer or "",
                seq=one.seq or 0,
                at=one.at or 0.0,
                size=one.size,
                shown=one.shown,
                exchange=one.exchange,
            )
        )

    def on_record(self, record: Acted | QuarantineRetried | QuarantineDiscarded) -> None:
        """An operator wishes something, or it is done."""
        match record:
            case Acted():
                self._wishes.append(record)
            case QuarantineRetried():
                self._done(record, RETRIED)
            case QuarantineDiscarded():  # pragma: no branch  there is no other
                self._done(record, DISCARDED)

    def _done(self, record: QuarantineRetried | QuarantineDiscarded, done: str) -> None:
        changes = {"done": done, "by": record.who}
        for place, kept in enumerate(self._newest):
            if (kept.log, kept.offset) == (record.log, record.offset):
                self._newest[place] = kept.model_copy(update=changes)
        subject = message_name(record.log, record.offset)
        left = (wish for wish in self._wishes if wish.subject != subject)
        self._wishes = deque(left, maxlen=WISHES_MAX)

    def find(self, log: str, offset: int) -> QuarantinedRecord | None:
        """A message, if it is kept."""
        return next((one for one in self._newest if (one.log, one.offset) == (log, offset)), None)

    def wished_by(self, action: str, subject: str) -> str | None:
        """Who has asked last for what is not done yet; only the dashboard can write that somebody has."""
        found = (
            wish.who for wish in reversed(self._wishes) if (wish.action, wish.subject) == (action, subject)
        )
        return next(found, None)

    def take(self, kept: Quarantine) -> None:
        """Know what was told once."""
        self._total = kept.total
        self._newest = deque(kept.records, maxlen=KEPT_MAX)

    def told(self) -> Quarantine:
        """What operators are told."""
        return Quarantine(total=self._total, records=tuple(self._newest))
