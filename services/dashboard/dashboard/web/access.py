"""Access: who asks: by a token in the header, or by a browser's session; who may look, who may act."""

import secrets
from http import HTTPStatus
from typing import Annotated

from bus.clock import Clock
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dashboard.operators import Doorkeeper, Operator
from dashboard.sessions import Session, Sessions

COOKIE = "xenops_session"

_BEARER = HTTPBearer(auto_error=False, description="A token of the file that XENOPS_PAGE_TOKENS names.")
_Shown = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


class Access:
    """Lets in; on the bus's own thread."""

    def __init__(self, doorkeeper: Doorkeeper, sessions: Sessions, clock: Clock) -> None:
        self._doorkeeper = doorkeeper
        self._sessions = sessions
        self._clock = clock

    async def reader(self, request: Request, shown: _Shown) -> Operator:
        """Anybody with a token or a session."""
        if shown is not None:
            return self._by_token(shown)
        session = self.session(request)
        if session is None:
            raise _unknown("show a token: Authorization: Bearer TOKEN")
        return session.operator

    async def operator(self, shown: _Shown) -> Operator:
        """One who may act. A session is not enough: another site's page could use it."""
        if shown is None:
            raise _unknown("show a token: Authorization: Bearer TOKEN")
        operator = self._by_token(shown)
        if not operator.acts:
            raise HTTPException(
                HTTPStatus.FORBIDDEN, f"{operator.name} is a reader: to act needs an operator's token"
            )
        return operator

    def session(self, request: Request) -> Session | None:
        """The browser's session, unless it is over or its token was taken back."""
        session = self._sessions.find(request.cookies.get(COOKIE, ""), self._clock.monotonic())
        if session is not None and not self._doorkeeper.knows(session.operator):
            self._sessions.end(session.id)
            return None
        return session

    def enter(self, secret: str) -> Session | None:
        """A new session for whoever shows a token; None for nobody's."""
        operator = self._doorkeeper.who(secret)
        if operator is None:
            return None
        drawn = (secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        return self._sessions.begin(operator, drawn, self._clock.monotonic())

    def leave(self, session: Session) -> None:
        """The session is over."""
        self._sessions.end(session.id)

    def _by_token(self, shown: HTTPAuthorizationCredentials) -> Operator:
        operator = self._doorkeeper.who(shown.credentials)
        if operator is None:
            raise _unknown("nobody has this token")
        return operator


def _unknown(words: str) -> HTTPException:
    return HTTPException(HTTPStatus.UNAUTHORIZED, words, {"www-authenticate": "Bearer"})
