"""Sessions: browsers that have shown a token, for a while."""

from collections import OrderedDict
from dataclasses import dataclass

from dashboard.operators import Operator

IDLE_S = 30 * 60.0
"""A session that nobody uses for so long is over; an open page uses it."""

AGE_S = 12 * 3600.0
"""However it is used, it is over then."""

SESSIONS_MAX = 1_000
"""More at a time end the oldest."""


@dataclass(slots=True)
class Session:
    """One browser; `form_key` is in each of its forms, and in nobody else's. Times are monotonic seconds."""

    id: str
    form_key: str
    operator: Operator
    begun: float
    used: float


class Sessions:
    """All sessions; whoever makes them draws their secrets."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, operator: Operator, secrets: tuple[str, str], now: float) -> Session:
        """A new one; `secrets` are its id and its form key."""
        session = Session(*secrets, operator, now, now)
        self._sessions[session.id] = session
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session

    def find(self, session_id: str, now: float) -> Session | None:
        """The session, which is thereby used; None if it is over."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        if now - session.used > IDLE_S or now - session.begun > AGE_S:
            del self._sessions[session_id]
            return None
        session.used = now
        return session

    def end(self, session_id: str) -> None:
        """It is over."""
        self._sessions.pop(session_id, None)
