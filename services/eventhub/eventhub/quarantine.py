"""Quarantine: the newest messages of the log that no service takes, for operators to look at."""

from collections import deque

from bus.quarantine import Quarantined
from schema.objects.quarantine import Quarantine, QuarantinedRecord

KEPT_MAX = 100
"""Messages that are kept, the newest; each takes some kB at most."""


NOTHING = Quarantine(total=0, records=())


class QuarantineFold:
    """What has been passed over, counted, and the newest of it."""

    def __init__(self) -> None:
        self._total = 0
        self._newest: deque[QuarantinedRecord] = deque(maxlen=KEPT_MAX)

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
            )
        )

    def take(self, kept: Quarantine) -> None:
        """Know what was told once."""
        self._total = kept.total
        self._newest = deque(kept.records, maxlen=KEPT_MAX)

    def told(self) -> Quarantine:
        """What operators are told."""
        return Quarantine(total=self._total, records=tuple(self._newest))
