"""Stamp: what one writer puts on its records: who it is, and which number each has in its log."""

from collections import defaultdict
from collections.abc import Sequence

from schema.ids import InstanceName
from schema.records import Envelope, Record


class Stamp:
    """Numbers a writer's records, in each log from 1 and without a gap: readers wait at a gap for ever.

    Hence two steps: a number that is seen is taken only once its record is sure to be sent.
    `producer` must be fresh for each life of a process.
    """

    def __init__(self, producer: str) -> None:
        self._producer = producer
        self._last: defaultdict[InstanceName, int] = defaultdict(int)

    def envelopes(self, instance: InstanceName, records: Sequence[Record], at: float) -> list[Envelope]:
        """The records with the next numbers, which are not taken yet; `at` is in seconds since the epoch."""
        first = self._last[instance] + 1
        return [
            Envelope(producer=self._producer, seq=seq, at=at, instance=instance, record=record)
            for seq, record in enumerate(records, first)
        ]

    def take(self, instance: InstanceName, count: int) -> None:
        """The next numbers are taken: their records will be sent."""
        self._last[instance] += count
