"""Dedup: which envelopes of a log count, when writers may have repeated some."""


class Dedup:
    """Accepts from each producer exactly its next record, so that each counts once and in order.

    A writer that repeats a record repeats all after it (see `bus.window`): what comes out of turn, early or
    again, comes once more in turn or has been there already.

    `last` is what an earlier `last()` answered. Where a log's beginning has been dropped (`truncated`), a
    producer that is new to us counts from whatever number it is met with.
    """

    def __init__(self, last: dict[str, int] | None = None, *, truncated: bool = False) -> None:
        self._last = dict(last or {})
        self._truncated = truncated

    def accepts(self, producer: str, seq: int) -> bool:
        """Whether this envelope counts; if so, it is noted."""
        last = self._last.get(producer)
        expected = seq if last is None and self._truncated else (last or 0) + 1
        if seq != expected:
            return False
        self._last[producer] = seq
        return True

    def last(self) -> dict[str, int]:
        """Each producer's last number that counted: what a snapshot must carry."""
        return dict(self._last)
