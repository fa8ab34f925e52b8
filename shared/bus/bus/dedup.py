"""Dedup: which envelopes of a log count, when writers may have repeated some."""

from collections.abc import Mapping

PRODUCERS_MAX = 10_000
"""Producers that are remembered, those that wrote last; each start of a process is one."""


class Dedup:
    """Accepts from each producer exactly its next record, so that each counts once and in order.

    A writer that repeats a record repeats all after it (see `bus.window`): what comes out of turn, early or
    again, comes once more in turn or has been there already.

    `last` is what an earlier `last()` answered. Where a log's beginning has been dropped (`truncated`), a
    producer that is new to us counts from whatever number it is met with.
    """

    def __init__(self, last: Mapping[str, int] | None = None, *, truncated: bool = False) -> None:
        self._last = dict(last or {})
        self._truncated = truncated

    def accepts(self, producer: str, seq: int, confirmed: int = 0) -> bool:
        """Whether this envelope counts; if so, it is noted.

        `confirmed`: up to which number the broker had confirmed its producer's records when this one was
        sent. They stand before it, so a reader that has not met them never will: the broker has lost them.
        """
        last = self._last.get(producer)
        expected = seq if last is None and self._truncated else max(last or 0, confirmed) + 1
        if seq != expected:
            return False
        self._last.pop(producer, None)
        self._last[producer] = seq
        if len(self._last) > PRODUCERS_MAX:
            del self._last[next(iter(self._last))]
        return True

    def last(self) -> dict[str, int]:
        """Each producer's last number that counted, who wrote last at the end: what a snapshot must carry."""
        return dict(self._last)
