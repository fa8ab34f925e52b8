"""Returned: messages that came back because nobody serves where they went, kept until somebody does."""

from dataclasses import dataclass, field

from bus.ports import Request
from bus.topology import DIRECT_REPLIES

AWAY_S = 5.0
"""How long a service may be away: a restart and a broker's failover take some seconds."""

KEPT_MAX = 1_000
KEPT_BYTES_MAX = 64 << 20
"""Messages that are kept at a time, and how much they may hold."""


@dataclass(slots=True)
class _Kept:
    """One message: since when it comes back, and as what it goes on next; None: it is on its way."""

    since: float
    request: Request | None = None


_Key = tuple[str, str | None, str | None]
"""The queue where nobody is, and who waits for the answer, to what; an answer is for who has the queue."""


@dataclass(slots=True)
class Returned:
    """Those of one instance. What came back has reached nobody: to send it again does nothing twice."""

    _kept: dict[_Key, _Kept] = field(default_factory=dict)
    _bytes: int = 0

    def keeps(self, queue: str, request: Request, now: float) -> bool:
        """Keep a request that has just come back, to go on later; says whether there is time and room.

        One that nobody awaits is not kept, nor one that cannot be told from another that is.
        """
        if request.reply_to is None and not queue.startswith(DIRECT_REPLIES):
            return False
        key = (queue, request.reply_to, request.correlation_id)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= KEPT_MAX:
                return False
            kept = self._kept[key] = _Kept(now)
        elif kept.request is not None:
            return False
        if now - kept.since >= AWAY_S or self._bytes + len(request.body) > KEPT_BYTES_MAX:
            del self._kept[key]
            return False
        kept.request = request
        self._bytes += len(request.body)
        return True

    def due(self, now: float) -> list[tuple[str, Request]]:
        """What goes on now, and where to; of what has not come back for a while, nothing is kept."""
        going = []
        for key, kept in list(self._kept.items()):
            if kept.request is not None:
                going.append((key[0], kept.request))
                self._bytes -= len(kept.request.body)
                kept.request = None
            elif now - kept.since >= 2 * AWAY_S:
                del self._kept[key]
        return going
