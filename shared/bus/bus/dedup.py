"""Dedup: which envelopes of a log count, when writers may have repeated some."""


class Dedup:
    """Accepts from each producer exactly its next record, so that each counts once and in order.

    A writer that repeats a record repeats all after it (see `bus.window`): what comes out of turn, early or
    again, comes once more in turn or has been there already.
    """

    def __init__(self, last: dict[str, int] | None = None) -> None:
        self._last = dict(last or {})

    def accepts(self, producer: str, seq: int) -> bool:
        """Whether this envelope counts; if so, it is noted."""
        if seq != self._last.get(producer, 0) + 1:
            return False
        self._last[producer] = seq
        return True

    def last(self) -> dict[str, int]:
        """Each producer's last number that counted: what a snapshot must carry."""
        return dict(self._last)
